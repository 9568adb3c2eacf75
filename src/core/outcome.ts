/** What became of an operation at the origin. */
export type Outcome = 'succeeded' | 'failed' | 'not_executed' | 'unknown'

/** Every outcome, in the order of the documentation. */
export const OUTCOMES = ['succeeded', 'failed', 'not_executed', 'unknown'] as const

/**
 * Why there is no answer of the origin that could be passed on: `not-sent` only where the request
 * could not even be made, `timeout` when the time ran out, `bad-status` when its status is none of
 * an answer, `lost` for everything else.
 */
export type OriginFault = 'not-sent' | 'timeout' | 'lost' | 'bad-status'

/** A route's own classification, by status (`'409'`) or by range (`'5xx'`). */
export type OutcomeRules = Readonly<Record<string, Outcome>>

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

/**
 * Statuses that say that the operation was not begun: the caller is refused, comes too early, too
 * late or too often (408, 425, 429), the service is away (503), or Cloudflare could not hand the
 * request over: connection refused (521), unreachable (523), TLS (525, 526), DNS (530).
 */
const NOT_EXECUTED = new Set([...CALLER_REFUSED, 408, 425, 429, 503, 521, 523, 525, 526, 530])

/** Server errors that are an answer to this very request: not implemented, HTTP version. */
const REFUSED = new Set([501, 505])

/** Whether an answer of this status can be passed on and stored: no `Response` takes another. */
export function isAnswerStatus(status: number): boolean {
  return status >= 200 && status <= 599
}

/**
 * Files an answer of the origin under an outcome. The origin's own word beats the route's rule
 * for the status, which beats the rule for the range, which beats the table. A status that is none
 * of an answer leaves it open, unless the origin says that nothing was executed.
 */
export function classifyStatus(
  status: number,
  rules: OutcomeRules = {},
  directive: OutcomeDirective | null = null,
): Outcome {
  if (directive === 'not-executed') return 'not_executed'
  if (!isAnswerStatus(status)) return 'unknown'
  if (directive === 'executed') return status < 400 ? 'succeeded' : 'failed'
  return ruleFor(status, rules) ?? defaultOutcome(status)
}

function ruleFor(status: number, rules: OutcomeRules): Outcome | undefined {
  return rules[String(status)] ?? rules[`${Math.floor(status / 100)}xx`]
}

/** What of an answer decides its outcome. */
export interface AnswerFacts {
  readonly status: number
  readonly directives: { readonly outcome: OutcomeDirective | null }
  /** Whether a proxy on the way to the origin has made it. */
  readonly isFromProxy?: boolean
}

/**
 * Files a whole answer under an outcome. A proxy that makes one itself may have lost the origin's
 * after the request was sent, so that it proves nothing where neither origin nor route says what
 * its status means.
 */
export function classifyAnswer(
  { status, directives, isFromProxy = false }: AnswerFacts,
  rules: OutcomeRules,
): Outcome {
  const outcome = classifyStatus(status, rules, directives.outcome)
  const isSaid = directives.outcome !== null || ruleFor(status, rules) !== undefined
  return isFromProxy && outcome === 'not_executed' && !isSaid ? 'unknown' : outcome
}

function defaultOutcome(status: number): Outcome {
  if (NOT_EXECUTED.has(status)) return 'not_executed'
  if (status < 400) return 'succeeded'
  if (status < 500 || REFUSED.has(status)) return 'failed'
  return 'unknown'
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
