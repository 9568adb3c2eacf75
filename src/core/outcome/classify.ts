import type { HeaderField } from '../operation/snapshot.ts'
import { hasRetryAfter, readShouldRetry } from '../retry/retry-after.ts'
import { judgeAnswer, type OutcomeRules, type Said } from './outcome-rules.ts'
import {
  isAnswerStatus,
  isRefusalOfRequest,
  type OriginFault,
  type Outcome,
  type OutcomeDirective,
} from './outcome.ts'

/**
 * Further statuses that say that the operation was not begun here, beside those of
 * `isRefusalOfRequest`: the request belongs to another server (421), comes too early, too late or too
 * often (408, 425, 429), its client has left (499), what it needs is locked (423), the service is away
 * (503), or Cloudflare could not hand the request over: connection refused (521), unreachable (523),
 * TLS (525, 526), DNS (530).
 */
const NOT_EXECUTED: ReadonlySet<number> = new Set([
  408, 421, 423, 425, 429, 499, 503, 521, 523, 525, 526, 530,
])

/** With `Retry-After` these are temporary (RFC 9110 §15.5.14), and say so before anything is done. */
const MAY_BE_TEMPORARY = new Set([409, 413])

/** Server errors that are an answer to this very request: not implemented, HTTP version. */
const REFUSED = new Set([501, 505])

/** Determines the outcome from a status alone. */
export function classifyStatus(
  status: number,
  rules: OutcomeRules | readonly OutcomeRules[] = [],
): Outcome {
  return classifyAnswer({ status, directives: { outcome: null } }, rules)
}

/** The facts of an answer that decide its outcome. */
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
 * Determines the outcome from an answer of the origin. The origin's own directive has priority over the
 * route's rules, and these over the table. A status that no answer can have is `unknown`, unless the
 * origin says that nothing was executed. An answer made by a proxy proves nothing by itself: the proxy
 * may have lost the origin's answer after it sent the request.
 *
 * @param isInDoubt Whether another call of the operation may have been executed. Then only a final
 *   answer counts: "not yet" or "not now" says nothing about that call, whatever its status.
 */
export function classifyAnswer(
  facts: AnswerFacts,
  rules: OutcomeRules | readonly OutcomeRules[],
  isInDoubt = false,
): Outcome {
  return outcomeOfOrigin(facts) ?? outcomeHere(facts, rules, isInDoubt)
}

/** @returns `null` if the origin does not say it itself, and its status can be one of an answer. */
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
  const { status } = facts
  const { said = judgeAnswer([rules].flat(), { status, headers: new Headers() }) } = facts
  if (said?.isExact === true) return exactly(said, isInDoubt)
  const byTable = defaultOutcome(facts)
  if (isInDoubt && isNotYet(facts)) return byTable === 'not_executed' ? byTable : 'unknown'
  return said?.outcome ?? byTable
}

const exactly = (said: Said, isInDoubt: boolean): Outcome =>
  isInDoubt && said.isNotYet === true ? 'unknown' : said.outcome

/** The outcome of an operation after a call: one that was not executed leaves the doubt about another. */
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
  const { status } = facts
  return isRefusalOfRequest(status) || NOT_EXECUTED.has(status) || asksForAnother(facts)
}

/** 409: many origins say so about a request with the same key that they still process. */
function isNotYet(facts: AnswerFacts): boolean {
  return facts.status === 409 || isNotNow(facts)
}

/** Whether an answer that rejects the request asks for another try. */
function asksForAnother({ status, headers = [] }: AnswerFacts): boolean {
  if (status < 400 || status > 499) return false
  const word = readShouldRetry(headers)
  return word ?? (MAY_BE_TEMPORARY.has(status) && hasRetryAfter(headers))
}

/**
 * Determines the outcome of a call without an answer. Only proof that nothing was sent, or the
 * origin's own directive, frees the key.
 */
export function classifyFault(
  fault: OriginFault,
  directive: OutcomeDirective | null = null,
): Outcome {
  return fault === 'not-sent' || directive === 'not-executed' ? 'not_executed' : 'unknown'
}
