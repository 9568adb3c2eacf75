import { toTextPart } from './add-note.ts'
import { createCalls, type IdempotentToolOptions } from './calls.ts'
import type { ToolCall } from './tool-call.ts'
import { ToolError } from './tool-error.ts'

/** What an MCP server tells a tool about its call (`RequestHandlerExtra`). */
interface McpExtra {
  readonly signal?: AbortSignal
  readonly sessionId?: string | undefined
}

/** JSON-RPC error of a tool that asks for something by a URL. It is a step of the call and not its end. */
const URL_ELICITATION_REQUIRED = -32_042

/**
 * Wraps the handler of an MCP tool, as `registerTool` takes it. The note is one more text in
 * `content`; `structuredContent` stays as it is. An error is a result with `isError`.
 *
 * Without the option `runId`, the session is the run. Give a tool without arguments the
 * `inputSchema: {}`, so that its handler gets both parameters.
 *
 * @param name Name of the tool. It is part of the key.
 * @throws {TypeError} When it is called, as `idempotentTool`.
 * @example
 * server.registerTool('pay', config, idempotentMcpTool('pay', async (input, { fetch }) => …))
 */
export function idempotentMcpTool<Args, Extra, Result>(
  name: string,
  handler: (args: Args, extra: Extra & ToolCall) => Result | Promise<Result>,
  options: IdempotentToolOptions<Extra> = {},
): (args: Args, extra: Extra) => Promise<Result> {
  const openCall = createCalls(name, options)
  return async function callTool(args, extra) {
    if (extra === undefined) throw new TypeError(`The tool "${name}" needs an inputSchema.`)
    const { signal, sessionId } = extra as McpExtra
    const opened = await openCall({ input: args, context: extra, signal, runId: sessionId })
    try {
      const result = await handler(opened.input as Args, { ...extra, ...opened.call })
      return addNote(result, opened.toNote())
    } catch (error) {
      const failure = isStep(error) ? error : opened.toError(error)
      if (!(failure instanceof ToolError)) throw failure
      return { content: [toTextPart(failure.message)], isError: true } as Result
    }
  }
}

const isStep = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === URL_ELICITATION_REQUIRED

function addNote<Result>(result: Result, note: string): Result {
  const { content, structuredContent } = result as Partial<Record<string, unknown>>
  const isEnd = Array.isArray(content) || structuredContent !== undefined
  if (note === '' || !isEnd) return result
  return { ...result, content: [...(Array.isArray(content) ? content : []), toTextPart(note)] }
}
