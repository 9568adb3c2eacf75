import { judgeAnswer, type OutcomeRules, type Said } from './outcome-rules.ts'
import {
  isAnswerStatus,
  isRefusalOfRequest,
  type OriginFault,
  type Outcome,
  type OutcomeDirective,
} from './outcome.ts'
import { hasRetryAfter, readShouldRetry } from './retry-after.ts'
import type { HeaderField } from './snapshot.ts'

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
  const { status } = facts
  return isRefusalOfRequest(status) || NOT_EXECUTED.has(status) || asksForAnother(facts)
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
