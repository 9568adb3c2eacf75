import { childrenOf, rootOf, type Span } from '../json/spans.ts'
import { asksForMore, holdsResponse, parseJson } from '../outcome/rpc-outcome.ts'
import { mapEvents } from '../wire/event-stream.ts'

type Members = ReadonlyMap<string, Span>

/** One call that a client has sent. */
export interface JsonRpcCall {
  /** Unescaped, such as `tools/call`. */
  readonly method: string
  /** The JSON text of a string or number, as the client wrote it. */
  readonly id: string
  /** The same for `params._meta.progressToken`; `null` if the client wants no progress. */
  readonly progressToken: string | null
}

/**
 * Reads a call of JSON-RPC 2.0, as MCP narrows it: the id is a string or a number.
 *
 * @returns `null` for anything else, such as a batch, a notification or a response.
 */
export function readCall(text: string): JsonRpcCall | null {
  const call = membersOf(text, rootOf(text))
  const method = readString(text, call.get('method'))
  const id = readIdentifier(text, call.get('id'))
  if (readString(text, call.get('jsonrpc')) !== '2.0' || method === null || id === null) return null
  const meta = membersOf(text, membersOf(text, call.get('params')).get('_meta'))
  return { method, id, progressToken: readIdentifier(text, meta.get('progressToken')) }
}

/** How the answer to an earlier call is changed for this one. */
export interface Retelling {
  /** A member for `result._meta`, or for an error's `data`: JSON text of its name and value. */
  readonly mark: { readonly name: string; readonly value: string } | null
  /** Replaces a step, which only the first caller can act on; `null` leaves it. */
  readonly insteadOfStep: string | null
  /** Ends a stream that held no response; `null` leaves it. */
  readonly insteadOfSilence?: string | null
}

const AS_IT_CAME: Retelling = { mark: null, insteadOfStep: null }

/**
 * Turns the answer to an operation's first call into the answer to this one: responses get its id and
 * the mark, progress notifications its token, and every other character stays.
 *
 * The same is done to each message of a batch, without requests of the server, which only the first
 * caller can answer, and without progress if this call has no token. Other messages, a response whose
 * id is null (its server could not read the call), and text that is not JSON stay as they are.
 */
export function toAnswerOf(
  call: JsonRpcCall,
  message: string,
  retelling: Retelling = AS_IT_CAME,
): string {
  return answerText(call, message, retelling) ?? retelling.insteadOfStep ?? message
}

/**
 * Does the same to each event of a `text/event-stream` while it arrives. Requests of the server are
 * dropped, and progress if the call has no token.
 */
export function answerEvents(
  call: JsonRpcCall,
  retelling: Retelling = AS_IT_CAME,
): TransformStream<Uint8Array, Uint8Array> {
  const { insteadOfSilence = null } = retelling
  let isSilent = insteadOfSilence !== null
  return mapEvents(
    (data) => {
      if (isSilent) isSilent = !holdsResponse(parseJson(data))
      return answerText(call, data, retelling)
    },
    () => (isSilent ? insteadOfSilence : null),
  )
}

/** `null` if nothing is left of it. */
function answerText(call: JsonRpcCall, text: string, retelling: Retelling): string | null {
  const root = rootOf(text)
  if (text[root.start] !== '[') {
    const answer = answerMessage(call, text, root, retelling)
    return answer === null ? null : text.slice(0, root.start) + answer + text.slice(root.end)
  }
  const kept: string[] = []
  let answer = ''
  let at = 0
  const spans = childrenOf(text, root).map(({ span }) => span)
  for (const span of spans) {
    const message = answerMessage(call, text, span, retelling)
    if (message !== null) kept.push(message)
    answer += text.slice(at, span.start) + (message ?? '')
    at = span.end
  }
  if (kept.length === spans.length) return answer + text.slice(at)
  return kept.length === 0 ? null : `[${kept.join(',')}]`
}

/** `null` for what is not for this call: progress that it did not ask for, a request of the server. */
function answerMessage(
  call: JsonRpcCall,
  text: string,
  span: Span,
  { mark, insteadOfStep }: Retelling,
): string | null {
  const message = membersOf(text, span)
  const own = text.slice(span.start, span.end)
  const method = readString(text, message.get('method'))
  if (method === 'notifications/progress') {
    if (call.progressToken === null) return null
    const place = membersOf(text, message.get('params')).get('progressToken')
    return edit(text, span, [replace(text, place, call.progressToken)])
  }
  if (method !== null && readIdentifier(text, message.get('id')) !== null) return null
  const place = findResponseId(message)
  if (readIdentifier(text, place) === null) return own
  if (insteadOfStep !== null && asksForMore(JSON.parse(own))) return insteadOfStep
  return edit(text, span, [replace(text, place, call.id), mark && markIn(text, message, mark)])
}

/** A text that replaces a place of another. */
interface Edit extends Span {
  readonly text: string
}

/** What stands there is an identifier, or stays. */
function replace(text: string, place: Span | undefined, by: string): Edit | null {
  if (place === undefined || readIdentifier(text, place) === null) return null
  return { ...place, text: by }
}

function edit(text: string, { start, end }: Span, edits: readonly (Edit | null)[]): string {
  let edited = ''
  let at = start
  for (const one of edits.filter((each) => each !== null).toSorted((a, b) => a.start - b.start)) {
    edited += text.slice(at, one.start) + one.text
    at = one.end
  }
  return edited + text.slice(at, end)
}

type Mark = NonNullable<Retelling['mark']>

/** MCP keeps `_meta` of a result for what others add to it; an error has `data` alone. */
function markIn(text: string, message: Members, mark: Mark): Edit | null {
  const error = message.get('error')
  const isError = error !== undefined && text[error.start] === '{'
  const [holder, name] = isError ? [error, 'data'] : [message.get('result'), '_meta']
  if (holder === undefined || text[holder.start] !== '{') return null
  const inner = membersOf(text, holder).get(name)
  const member = `${mark.name}:${mark.value}`
  if (inner === undefined) return addMember(text, holder, `"${name}":{${member}}`)
  if (text[inner.start] !== '{') return null
  const before = membersOf(text, inner).get(JSON.parse(mark.name) as string)
  return before === undefined ? addMember(text, inner, member) : { ...before, text: mark.value }
}

function addMember(text: string, { start, end }: Span, member: string): Edit {
  const isEmpty = membersOf(text, { start, end }).size === 0
  return { start: start + 1, end: start + 1, text: isEmpty ? member : `${member},` }
}

/** Only requests and notifications have a method. */
function findResponseId(message: Members): Span | undefined {
  return message.has('method') ? undefined : message.get('id')
}

/** The positions of an object's members; none for another value. */
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
