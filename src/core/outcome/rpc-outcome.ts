import { createEventReader } from '../wire/event-stream.ts'
import { type AnswerFacts, classifyAnswer, classifyStatus } from './classify.ts'
import type { Said } from './outcome-rules.ts'
import type { Outcome } from './outcome.ts'

/** What an answer means for a JSON-RPC call. A `step` asks the client for input and is no result. */
export type CallOutcome = Outcome | 'step'

/** A response of JSON-RPC 2.0, as `JSON.parse` reads it. */
export interface RpcResponse {
  readonly id?: unknown
  readonly result?: unknown
  readonly error?: unknown
}

/** The message was not understood (JSON-RPC 2.0 §5.1): its `id` can be missing then. */
const UNREADABLE: readonly unknown[] = [-32_700, -32_600]

/**
 * Codes of calls for which no tool ran: those above, an unknown method or tool, invalid arguments, and
 * MCP's own refusals of headers (-32020), a missing capability (-32021), a protocol version (-32022).
 */
const NOT_EXECUTED: ReadonlySet<unknown> = new Set([
  ...UNREADABLE,
  -32_601,
  -32_602,
  -32_020,
  -32_021,
  -32_022,
])

const INTERNAL_ERROR = -32_603
const CONFLICT = 409
/** MCP until 2025-11-25: the resource is not there. */
const RESOURCE_NOT_FOUND = -32_002
/** MCP 2025-11-25: the user has to visit a URL first. */
const URL_ELICITATION_REQUIRED = -32_042

/**
 * Finds the response to a call in an answer: one message, or a batch.
 *
 * @param answer As `JSON.parse` reads it.
 * @param id JSON text of the call's id; ids are compared as values.
 */
export function findResponse(answer: unknown, id: string): RpcResponse | null {
  const own: unknown = JSON.parse(id)
  const messages: readonly unknown[] = Array.isArray(answer) ? answer : [answer]
  return messages.filter(isResponse).find((response) => isTo(response, own)) ?? null
}

function isTo({ id = null, error }: RpcResponse, own: unknown): boolean {
  return id === own || (id === null && UNREADABLE.includes(codeOf(error)))
}

function isResponse(message: unknown): message is RpcResponse {
  if (!isObject(message) || 'method' in message) return false
  return 'result' in message || ('error' in message && message.error !== null)
}

/**
 * Determines the outcome from the response to a call. A tool's own error is a result. The codes that
 * JSON-RPC reserves (-32768 to -32000) tell the outcome of the call, or leave it unknown.
 *
 * @param status HTTP status of the response.
 * @param classify What a status means on this route; many servers use one as an error's code.
 */
export function judgeResponse(
  { result, error = null }: RpcResponse,
  status: number,
  classify: (status: number) => Outcome = classifyStatus,
): CallOutcome {
  if (error !== null) return judgeError(codeOf(error), status, classify)
  if (!isObject(result)) return 'succeeded'
  if (isStep(result)) return 'step'
  return 'isError' in result && result.isError === true ? 'failed' : 'succeeded'
}

function judgeError(
  code: unknown,
  status: number,
  classify: (status: number) => Outcome,
): CallOutcome {
  if (typeof code !== 'number') return 'unknown'
  if (code === URL_ELICITATION_REQUIRED) return 'step'
  if (NOT_EXECUTED.has(code)) return 'not_executed'
  if (code === RESOURCE_NOT_FOUND) return 'failed'
  return judgeOtherCode(code, status, classify)
}

function judgeOtherCode(
  code: number,
  status: number,
  classify: (status: number) => Outcome,
): Outcome {
  const byStatus = classify(status)
  if (code >= -32_768 && code <= -32_000) {
    // After an internal error the call has begun, unless HTTP refuses the client.
    const isRefused =
      code === INTERNAL_ERROR
        ? isClientError(status) && byStatus === 'not_executed'
        : isClientError(status) || byStatus === 'not_executed'
    return isRefused ? 'not_executed' : 'unknown'
  }
  if (status >= 500) return byStatus
  return isStatus(code) ? classify(code) : 'failed'
}

/** MCP 2026-07-28: `input_required`. Some servers omit the type, or use a draft's (`incomplete`). */
function isStep(result: object): boolean {
  const type = 'resultType' in result ? result.resultType : null
  if (type === 'input_required') return true
  return type !== 'complete' && 'inputRequests' in result && isObject(result.inputRequests)
}

/** Whether a message, or one of a batch, is a response to any call. */
export function holdsResponse(message: unknown): boolean {
  return [message].flat().some(isResponse)
}

/** Whether a message is a response that asks the client for input. */
export function asksForMore(message: unknown): boolean {
  return isResponse(message) && judgeResponse(message, 200) === 'step'
}

/**
 * Determines the outcome from an answer without a response to the call. If HTTP refused or redirected
 * it, no tool ran. The end of a body is not the end of the call, and a proxy knows nothing about it.
 */
export function judgeSilence({
  status,
  isFromProxy = false,
}: Pick<AnswerFacts, 'status' | 'isFromProxy'>): Outcome {
  if (status < 300) return 'unknown'
  const outcome = status < 500 ? 'not_executed' : classifyStatus(status)
  return isFromProxy && outcome === 'not_executed' ? 'unknown' : outcome
}

/** The response to a call, if it was found; `unreadable` if something could not be read. */
export type CallAnswer = RpcResponse | 'none' | 'unreadable'

/** Looks for the response to a call in a `text/event-stream` while it arrives. */
export function createResponseReader(id: string): {
  readonly read: (chunk: Uint8Array) => void
  readonly found: () => CallAnswer
} {
  let found: CallAnswer = 'none'
  const read = createEventReader((data) => {
    if (typeof found === 'object') return
    found = data === null ? 'unreadable' : (findResponse(parseJson(data), id) ?? found)
  })
  return { read, found: () => found }
}

/**
 * Determines what an answer means for a call. A route's rule for a body or an exact status has priority
 * over the response, and this over a rule for a range, and over HTTP. @param said The route's rule.
 */
export function judgeCall(answer: CallAnswer, said: Said | null, facts: AnswerFacts): Said | null {
  const { status } = facts
  if (typeof answer === 'object') return judgeFound(answer, said, facts)
  if (said !== null || (answer === 'unreadable' && status < 300)) return said
  return toSaid(judgeSilence(facts), status, facts)
}

function judgeFound(response: RpcResponse, said: Said | null, facts: AnswerFacts): Said {
  const { status } = facts
  const outcome = judgeResponse(response, status, (other) => classifyAs(other, facts))
  if (outcome === 'step') {
    return { outcome: 'not_executed', isExact: true, isStep: true, isRefusal: true }
  }
  if (said?.isExact === true) return said
  const code = codeOf(response.error)
  const isNotYet = outcome === 'failed' && [status, code].includes(CONFLICT)
  const meant = isStatus(code) ? code : status
  return { ...toSaid(outcome, meant, facts), ...(isNotYet && { isNotYet }) }
}

/** Unless HTTP itself says "not now", sending it again is useless. */
function toSaid(outcome: Outcome, status: number, facts: AnswerFacts): Said {
  const isRefusal = outcome === 'not_executed' && classifyAs(status, facts) !== 'not_executed'
  return { outcome, isExact: true, ...(isRefusal && { isRefusal }) }
}

/**
 * Determines what JSON-RPC messages from the status resource mean. They have another id than the call,
 * and an error proves only what a tool says itself. @returns `null` if they are a result or no messages.
 */
export function judgeMessages(messages: readonly unknown[]): Said | null {
  const own: readonly unknown[] = messages.filter(
    (message) => isObject(message) && 'jsonrpc' in message,
  )
  if (own.length === 0) return null
  const response = own.find(isResponse)
  const outcome = response === undefined ? 'unknown' : judgeResponse(response, 200)
  if (outcome === 'succeeded') return null
  return { outcome: outcome === 'failed' ? outcome : 'unknown', isExact: true }
}

/** With the same headers, which may ask for another try. */
function classifyAs(status: number, { headers = [] }: AnswerFacts): Outcome {
  return classifyAnswer({ status, headers, directives: { outcome: null }, said: null }, [])
}

/** @returns `undefined` if it is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isStatus = (code: unknown): code is number =>
  typeof code === 'number' && code >= 400 && code <= 599

const isClientError = (status: number) => status >= 400 && status < 500

function codeOf(error: unknown): unknown {
  return isObject(error) && 'code' in error ? error.code : null
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
