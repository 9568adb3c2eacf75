import { toNotedText } from './add-note.ts'
import { type RunOptions, wrapTool } from './idempotent-tool.ts'
import type { LangChainTool } from './langchain-tool.ts'
import type { IdempotentFunction, RepeatOptions } from './plain-tool.ts'
import type { ToolCall } from './tool-call.ts'
import { ToolError } from './tool-error.ts'

/** Tools by their names. */
type ToolMap = Readonly<
  Record<
    string,
    ((input: never, call: ToolCall) => unknown) | { readonly inputSchema: unknown } | LangChainTool
  >
>

/** The same tools: functions get `withNote`, and all others keep their type. */
type IdempotentTools<Tools> = {
  readonly [Name in keyof Tools]: Tools[Name] extends (
    input: infer Input,
    call: never,
  ) => infer Output
    ? IdempotentFunction<Input, Awaited<Output>>
    : Tools[Name]
}

/**
 * Wraps each tool of a map with `idempotentTool`. Its name is its key in the map.
 *
 * @example const tools = idempotentTools({ pay, refund }, { runId })
 */
export function idempotentTools<const Tools extends ToolMap>(
  tools: Tools,
  options: RunOptions<object>,
): IdempotentTools<Tools> {
  const wrapped = Object.entries(tools).map(([name, tool]) => [name, wrapTool(name, tool, options)])
  return Object.fromEntries(wrapped) as IdempotentTools<Tools>
}

/** A call as the model has made it: `function` of a tool call of OpenAI's Chat Completions, or a `function_call` of its Responses. */
export interface NamedCall {
  readonly name: string
  /** JSON text, or the value itself. */
  readonly arguments: unknown
}

/**
 * Calls the tool that a model has named, and writes the answer for the model: the result and what
 * became of the call, or what went wrong.
 *
 * @param tools Functions that `idempotentTools` has wrapped.
 * @returns The text for the message with the role `tool`.
 * @throws {TypeError} As `idempotentTool`. Errors of the tool are texts for the model.
 * @example const content = await answerToolCall(tools, toolCall.function)
 */
export async function answerToolCall(
  tools: Readonly<Record<string, IdempotentFunction<never, unknown>>>,
  call: NamedCall,
  options?: RepeatOptions,
): Promise<string> {
  const tool = Object.hasOwn(tools, call.name) ? tools[call.name] : undefined
  if (tool === undefined) return 'There is no tool of this name. Nothing was executed.'
  const input = parseArguments(call.arguments)
  if (input === undefined) {
    return 'The arguments are not JSON. Nothing was executed. Call the tool again, with arguments that are JSON.'
  }
  try {
    const { result, note } = await tool.withNote(input as never, options)
    return toNotedText(result, note)
  } catch (error) {
    if (error instanceof ToolError) return error.message
    throw error
  }
}

/** @returns `undefined` for what is no JSON. Some models send nothing or `null` where there are no arguments. */
function parseArguments(value: unknown): unknown {
  if (typeof value !== 'string') return value ?? {}
  try {
    return (JSON.parse(value.trim() || 'null') as unknown) ?? {}
  } catch {
    return undefined
  }
}
