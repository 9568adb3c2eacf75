import { judgeAnswer, type OutcomeRules, type Said } from './outcome-rules.ts'
import { hasRetryAfter, readShouldRetry } from './retry-after.ts'
import type { HeaderField } from './snapshot.ts'

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
const CALLER_REFUSED: readonly number[] = [401, 403, 407]

/**
 * Whether an answer refuses the caller. Only the caller can do something about that: the gateway
 * does not send such a request again, since every try counts against the caller's account.
 */
export function isRefusalOfCaller(status: number | null): boolean {
  return status !== null && CALLER_REFUSED.includes(status)
}

/** Statuses that refuse the request as it is: sent again it would be refused again. */
const REQUEST_REFUSED = [...CALLER_REFUSED, 307, 308, 406, 412, 415, 417, 426, 428, 431]

/** Whether only the client can do something about an answer: mend the request, or send it somewhere else. */
export function isRefusalOfRequest(status: number | null): boolean {
  return status !== null && REQUEST_REFUSED.includes(status)
}

/**
 * Statuses that say that the operation was not begun here: it is to be sent somewhere else (307, 308,
 * 421) or in another form (406, 415, 417, 426, 431), its condition does not hold (412, 428), the caller
 * is refused, comes too early, too late or too often (408, 425, 429) or has left (499), what it needs is
 * locked (423), the service is away (503), or Cloudflare could not hand the request over: connection
 * refused (521), unreachable (523), TLS (525, 526), DNS (530).
 */
const NOT_EXECUTED: ReadonlySet<number> = new Set(
  REQUEST_REFUSED.concat([408, 421, 423, 425, 429, 499, 503, 521, 523, 525, 526, 530]),
)

/** With `Retry-After` these are temporary (RFC 9110 §15.5.14), and say so before anything is done. */
const MAY_BE_TEMPORARY = new Set([409, 413])

/** Server errors that are an answer to this very request: not implemented, HTTP version. */
const REFUSED = new Set([501, 505])

/** Whether an answer of this status can be passed on and stored: no `Response` takes another. */
export function isAnswerStatus(status: number): boolean {
  return status >= 200 && status <= 599
}

/** Files a status under an outcome, as far as it alone tells. */
export function classifyStatus(
  status: number,
  rules: OutcomeRules | readonly OutcomeRules[] = [],
): Outcome {
  return classifyAnswer({ status, directives: { outcome: null } }, rules)
}

/** What of an answer decides its outcome. */
export interface AnswerFacts {
  readonly status: number
  readonly headers?: readonly HeaderField[]
  readonly directives: { readonly outcome: OutcomeDirective | null }
  /** Whether a proxy on the way to the origin has made it. */
  readonly isFromProxy?: boolean
  /** What the route says of it, its body read; absent where it has not been asked. */
  readonly said?: Said | null
}

/**
 * Files an answer of the origin under an outcome. The origin's own word beats the route's rules,
 * which beat the table. A status that is none of an answer leaves it open, unless the origin says that
 * nothing was executed. A proxy that makes an answer itself may have lost the origin's after the request
 * was sent, so that it proves nothing where neither origin nor route says what it means.
 *
 * @param isInDoubt Whether another call of the operation may have been executed. Then only an end
 *   counts: what says "not yet" or "not now" tells nothing of that call, whatever range it is in.
 */
export function classifyAnswer(
  facts: AnswerFacts,
  rules: OutcomeRules | readonly OutcomeRules[],
  isInDoubt = false,
): Outcome {
  return outcomeOfOrigin(facts) ?? outcomeHere(facts, rules, isInDoubt)
}

/** @returns `null` where the origin does not say it itself, and its status can be one of an answer. */
function outcomeOfOrigin({ status, directives }: AnswerFacts): Outcome | null {
  if (directives.outcome === 'not-executed') return 'not_executed'
  if (!isAnswerStatus(status)) return 'unknown'
  if (directives.outcome === null) return null
  return status < 400 ? 'succeeded' : 'failed'
}

function outcomeHere(
  facts: AnswerFacts,
  rules: OutcomeRules | readonly OutcomeRules[],
  isInDoubt: boolean,
): Outcome {
  const { said = readStatusRules(rules, facts.status) } = facts
  if (said?.isExact === true) return exactly(said, isInDoubt)
  const byTable = defaultOutcome(facts)
  if (isInDoubt && isNotYet(facts)) return byTable === 'not_executed' ? byTable : 'unknown'
  return said?.outcome ?? byTable
}

function exactly(said: Said, isInDoubt: boolean): Outcome {
  return isInDoubt && said.isNotYet === true ? 'unknown' : said.outcome
}

function readStatusRules(
  rules: OutcomeRules | readonly OutcomeRules[],
  status: number,
): Said | null {
  return judgeAnswer([rules].flat(), { status, headers: new Headers() })
}

/** What an operation has come to with a call: one that was not executed leaves the doubt about another. */
export function outcomeLeft(outcome: Outcome, isInDoubt: boolean): Outcome {
  return isInDoubt && outcome === 'not_executed' ? 'unknown' : outcome
}

function defaultOutcome(facts: AnswerFacts): Outcome {
  const { status, isFromProxy = false } = facts
  if (isNotNow(facts)) return isFromProxy ? 'unknown' : 'not_executed'
  if (status < 400) return 'succeeded'
  if (status < 500 || REFUSED.has(status)) return 'failed'
  return 'unknown'
}

function isNotNow(facts: AnswerFacts): boolean {
  return NOT_EXECUTED.has(facts.status) || asksForAnother(facts)
}

/** 409: many an origin says so of a request with the same key that it still works on. */
function isNotYet(facts: AnswerFacts): boolean {
  return facts.status === 409 || isNotNow(facts)
}

/** Whether an answer itself asks for another try of what it has refused. */
function asksForAnother({ status, headers = [] }: AnswerFacts): boolean {
  if (status < 400 || status > 499) return false
  const word = readShouldRetry(headers)
  return word ?? (MAY_BE_TEMPORARY.has(status) && hasRetryAfter(headers))
}

/**
 * Files a missing answer under an outcome: only proof that nothing was sent, or the origin's word
 * that nothing was executed, frees the key.
 */
export function classifyFault(
  fault: OriginFault,
  directive: OutcomeDirective | null = null,
): Outcome {
  return fault === 'not-sent' || directive === 'not-executed' ? 'not_executed' : 'unknown'
}
