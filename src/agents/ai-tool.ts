import { toNotedText, toTextPart } from './add-note.ts'
import { createCalls, type IdempotentToolOptions } from './calls.ts'
import { setRecent } from './recent.ts'
import type { ToolCall } from './tool-call.ts'

/** What the AI SDK tells a tool about its call (`ToolExecutionOptions`). */
export interface AiCallOptions {
  readonly toolCallId: string
  readonly abortSignal?: AbortSignal | undefined
  readonly experimental_context?: unknown
}

/** The arguments that a schema describes: one of Zod, of another Standard Schema, or `jsonSchema()` of the AI SDK. */
type InputOf<Schema> = Schema extends {
  readonly '~standard': { readonly types?: { readonly output: infer Input } | undefined }
}
  ? Input
  : Schema extends { readonly _type: infer Input }
    ? Input
    : Schema extends () => infer Lazy
      ? InputOf<Lazy>
      : unknown

/** A tool of the AI SDK, or its definition, whose function gets the call as well. */
export interface AiTool<Schema, Output> {
  readonly inputSchema: Schema
  readonly execute: (input: InputOf<Schema>, options: AiCallOptions & ToolCall) => Output
}

/** The same tool, as the AI SDK calls it. */
export interface IdempotentAiTool<Schema, Output> {
  readonly inputSchema: Schema
  readonly execute: (
    input: InputOf<Schema>,
    options: AiCallOptions,
  ) => Output extends AsyncIterable<unknown> ? Output : Promise<Awaited<Output>>
}

interface Definition {
  readonly execute: (input: unknown, options: AiCallOptions & ToolCall) => unknown
  readonly toModelOutput?: (asked: ModelOutputAsked) => ModelOutput | PromiseLike<ModelOutput>
}

interface ModelOutputAsked {
  readonly toolCallId: string
  readonly input: unknown
  readonly output: unknown
}

/** What the model gets as the result of a tool (`ToolResultOutput`). */
interface ModelOutput {
  readonly type: string
  readonly value?: unknown
}

/**
 * Wraps a tool of the AI SDK. Its output stays as it is: the note reaches the model through
 * `toModelOutput`.
 */
export function wrapAiTool(
  name: string,
  tool: Definition,
  options: IdempotentToolOptions<AiCallOptions>,
): Definition {
  const openCall = createCalls(name, options)
  const notes = new Map<string, string>()
  const open = (input: unknown, context: AiCallOptions) => {
    const { abortSignal: signal, experimental_context: own } = context
    return openCall({ input, context, signal, runId: runIdOf(own) })
  }

  async function* stream(input: unknown, context: AiCallOptions): AsyncGenerator {
    const opened = await open(input, context)
    try {
      const outputs = tool.execute(opened.input, { ...context, ...opened.call })
      yield* outputs as AsyncIterable<unknown>
      setRecent(notes, context.toolCallId, opened.toNote())
    } catch (error) {
      throw opened.toError(error)
    }
  }
  async function execute(input: unknown, context: AiCallOptions): Promise<unknown> {
    const opened = await open(input, context)
    try {
      const output = await tool.execute(opened.input, { ...context, ...opened.call })
      const last = isAsyncIterable(output) ? await lastOf(output) : output
      setRecent(notes, context.toolCallId, opened.toNote())
      return last
    } catch (error) {
      throw opened.toError(error)
    }
  }
  async function toModelOutput(asked: ModelOutputAsked): Promise<ModelOutput> {
    const made = (await tool.toModelOutput?.(asked)) ?? toOutput(asked.output)
    return addNote(made, notes.get(asked.toolCallId) ?? '')
  }
  // The AI SDK tells a tool that streams by what its function returns, before anything is awaited.
  const isStream =
    Object.prototype.toString.call(tool.execute) === '[object AsyncGeneratorFunction]'
  return { ...tool, execute: isStream ? stream : execute, toModelOutput }
}

function runIdOf(context: unknown): unknown {
  if (typeof context !== 'object' || context === null) return undefined
  const { runId }: { runId?: unknown } = context
  return runId
}

const isAsyncIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value

/** The last value is the output. */
async function lastOf(outputs: AsyncIterable<unknown>): Promise<unknown> {
  let last: unknown
  for await (const output of outputs) last = output
  return last
}

/** What the AI SDK makes of an output by itself. */
function toOutput(output: unknown): ModelOutput {
  return typeof output === 'string'
    ? { type: 'text', value: output }
    : { type: 'json', value: output ?? null }
}

function addNote(made: ModelOutput, note: string): ModelOutput {
  if (note === '') return made
  const { type, value } = made
  switch (type) {
    case 'text':
    case 'json':
      return { ...made, type: 'text', value: toNotedText(value, note) }
    case 'error-text':
    case 'error-json':
      return { ...made, type: 'error-text', value: toNotedText(value, note) }
    case 'content':
      return { ...made, value: [...(value as unknown[]), toTextPart(note)] }
    default:
      return made
  }
}
