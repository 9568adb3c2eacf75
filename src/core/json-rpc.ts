import { mapEvents } from './event-stream.ts'
import { childrenOf, rootOf, type Span } from './json-spans.ts'

type Members = ReadonlyMap<string, Span>

/** One call that a client has sent. */
export interface JsonRpcCall {
  /** Unescaped, such as `tools/call`. */
  readonly method: string
  /** The JSON text of a string or number, as the client wrote it. */
  readonly id: string
  /** The same for `params._meta.progressToken`; `null` where the client wants no progress. */
  readonly progressToken: string | null
}

/**
 * Reads a call of JSON-RPC 2.0, as MCP narrows it: the id is a string or a number.
 *
 * @returns `null` for a batch, a notification, a response, and whatever else is no such call.
 */
export function readCall(text: string): JsonRpcCall | null {
  const call = membersOf(text, rootOf(text))
  const method = readString(text, call.get('method'))
  const id = readIdentifier(text, call.get('id'))
  if (readString(text, call.get('jsonrpc')) !== '2.0' || method === null || id === null) return null
  const meta = membersOf(text, membersOf(text, call.get('params')).get('_meta'))
  return { method, id, progressToken: readIdentifier(text, meta.get('progressToken')) }
}

/**
 * Makes the answer that was given to an operation's first call the answer to this one: responses get
 * its id, progress notifications its token, and every other character stays.
 *
 * An array is a batch, each message of it treated. Left as they are: other messages, a response whose
 * id is null (its server could not read the call), progress where this call has no token, and what is
 * not JSON.
 */
export function toAnswerOf(call: JsonRpcCall, message: string): string {
  return answerMessage(call, message) ?? message
}

/**
 * Does what `toAnswerOf` does to each event of a `text/event-stream`, as it comes. Where the call has
 * no token, events of progress are dropped.
 */
export function answerEvents(call: JsonRpcCall): TransformStream<Uint8Array, Uint8Array> {
  return mapEvents((data) => answerMessage(call, data))
}

/** `null` for a message of progress that the call did not ask for. */
function answerMessage(call: JsonRpcCall, text: string): string | null {
  const root = rootOf(text)
  const isBatch = text[root.start] === '['
  const messages = isBatch ? childrenOf(text, root).map(({ span }) => span) : [root]
  let answer = ''
  let at = 0
  for (const span of messages) {
    const message = membersOf(text, span)
    const isProgress = readString(text, message.get('method')) === 'notifications/progress'
    const own = isProgress ? call.progressToken : call.id
    if (own === null && !isBatch) return null
    const place = isProgress
      ? membersOf(text, message.get('params')).get('progressToken')
      : findResponseId(message)
    if (own === null || place === undefined || readIdentifier(text, place) === null) continue
    answer += text.slice(at, place.start) + own
    at = place.end
  }
  return answer + text.slice(at)
}

/** Only requests and notifications have a method. */
function findResponseId(message: Members): Span | undefined {
  return message.has('method') ? undefined : message.get('id')
}

/** Where the members of an object stand; none for another value. */
function membersOf(text: string, span: Span | undefined): Members {
  // Of members of one name the last counts, as for `JSON.parse`. An array is not listed: it is long.
  if (span === undefined || text[span.start] !== '{') return new Map()
  return new Map(childrenOf(text, span).map((child) => [child.token, child.span]))
}

/** The raw text of a string or number: MCP allows nothing else for an id or a progress token. */
function readIdentifier(text: string, span: Span | undefined): string | null {
  if (span === undefined || !/["\d-]/.test(text.charAt(span.start))) return null
  return text.slice(span.start, span.end)
}

function readString(text: string, span: Span | undefined): string | null {
  if (span === undefined || text[span.start] !== '"') return null
  return JSON.parse(text.slice(span.start, span.end)) as string
}
