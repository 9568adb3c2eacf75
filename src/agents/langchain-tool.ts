import { toNotedText, toTextPart } from './add-note.ts'
import { createCalls, type IdempotentToolOptions } from './calls.ts'
import { CONFIGURABLE } from './tool-call.ts'
import { ToolError } from './tool-error.ts'

/** What LangChain tells a tool about its call (`ToolRunnableConfig`). */
export interface LangChainConfig {
  readonly configurable?: Readonly<Record<string, unknown>>
  readonly signal?: AbortSignal
  /** The call of the model, from which LangChain makes the message with the result. */
  readonly toolCall?: unknown
}

/** A `StructuredTool` of LangChain. */
export interface LangChainTool {
  readonly schema: unknown
  readonly lc_namespace: readonly string[]
}

/** What all of them have, most of it protected. */
interface Callable {
  readonly responseFormat?: string
  _call(input: unknown, manager?: unknown, config?: LangChainConfig): unknown
}

/**
 * Wraps a tool of LangChain. If a model calls it, its message ends with the note, and an error is a
 * message too, because it would end the run. If your code calls it, it returns and throws as before.
 */
export function wrapLangChainTool(
  name: string,
  tool: Callable,
  options: IdempotentToolOptions<LangChainConfig>,
): Callable {
  const openCall = createCalls(name, options)
  const hasArtifact = tool.responseFormat === 'content_and_artifact'
  const toAnswer = (result: unknown, note: string) => {
    if (!hasArtifact) return addNote(result, note)
    const [content, artifact] = result as readonly unknown[]
    return [addNote(content, note), artifact]
  }

  async function callTool(input: unknown, manager?: unknown, config: LangChainConfig = {}) {
    const { signal, configurable, toolCall } = config
    const opened = await openCall({ input, context: config, signal })
    const finish = (result: unknown) =>
      toolCall === undefined ? result : toAnswer(result, opened.toNote())
    const fail = (error: unknown) => {
      if (isStep(error)) throw error
      const failure = opened.toError(error)
      if (toolCall === undefined || !(failure instanceof ToolError)) throw failure
      return hasArtifact ? [failure.message, undefined] : failure.message
    }
    async function* passOn(events: AsyncGenerator) {
      try {
        return finish(yield* events)
      } catch (error) {
        return fail(error)
      }
    }
    try {
      const inner = { ...config, configurable: { ...configurable, [CONFIGURABLE]: opened.call } }
      const result = await tool._call(opened.input, manager, inner)
      return isGenerator(result) ? passOn(result) : finish(result)
    } catch (error) {
      return fail(error)
    }
  }
  return Object.create(tool, { _call: { value: callTool } }) as Callable
}

/** What LangGraph throws to stop the graph, such as `interrupt()`. The tool is called again when the graph goes on. */
const isStep = (error: unknown) =>
  error instanceof Error && 'is_bubble_up' in error && error.is_bubble_up === true

/** A tool that streams events returns its result behind them. */
const isGenerator = (value: unknown): value is AsyncGenerator =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value && 'next' in value

/** @param content Text, parts of a message, or whatever LangChain writes as JSON. */
function addNote(content: unknown, note: string): unknown {
  if (note === '' || isOwnMessage(content)) return content
  const isParts = Array.isArray(content) && content.every(isPart)
  return isParts ? [...content, toTextPart(note)] : toNotedText(content, note)
}

const isPart = (part: unknown) => typeof part === 'object' && part !== null && 'type' in part

/** A `ToolMessage` or a command, which a tool has made itself. */
const isOwnMessage = (content: unknown) =>
  typeof content === 'object' && content !== null && 'lc_direct_tool_output' in content
