/** Every outcome, in the order of the documentation. */
export const OUTCOMES = ['succeeded', 'failed', 'not_executed', 'unknown'] as const

/** What became of an operation at the origin. */
export type Outcome = (typeof OUTCOMES)[number]

/**
 * Why there is no answer of the origin that could be passed on: `not-sent` only where the request
 * could not even be made, `timeout` when the time ran out, `bad-status` when its status is none of
 * an answer, `lost` for everything else.
 */
export type OriginFault = 'not-sent' | 'timeout' | 'lost' | 'bad-status'

/** What the origin may say itself, in the header `Idempotency-Outcome`. */
export type OutcomeDirective = 'executed' | 'not-executed'

/** Statuses that refuse the caller: it did not say who it is (401, 407), or may not do this (403). */
const CALLER_REFUSED = new Set([401, 403, 407])

/**
 * Whether an answer refuses the caller. Only the caller can do something about that: the gateway
 * does not send such a request again, since every try counts against the caller's account.
 */
export function isRefusalOfCaller(status: number | null): boolean {
  return status !== null && CALLER_REFUSED.has(status)
}

/**
 * Further statuses that refuse the request as it is: it is to be sent somewhere else (307, 308) or in
 * another form (406, 415, 417, 426, 431), or its condition does not hold (412, 428).
 */
const REQUEST_REFUSED = new Set([307, 308, 406, 412, 415, 417, 426, 428, 431])

/** Whether only the client can do something about an answer: mend the request, or send it somewhere else. */
export function isRefusalOfRequest(status: number | null): boolean {
  return status !== null && (isRefusalOfCaller(status) || REQUEST_REFUSED.has(status))
}

/** Whether an answer of this status can be passed on and stored: no `Response` takes another. */
export function isAnswerStatus(status: number): boolean {
  return status >= 200 && status <= 599
}
