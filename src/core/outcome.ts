/** What became of an operation at the origin. */
export type Outcome = 'succeeded' | 'failed' | 'not_executed' | 'unknown'

/** Every outcome, in the order of the documentation. */
export const OUTCOMES = ['succeeded', 'failed', 'not_executed', 'unknown'] as const

/**
 * Why there is no answer of the origin: `not-sent` only where it is proved that nothing went out,
 * `timeout` when the time ran out, `lost` when the connection ended or cannot be told apart.
 */
export type OriginFault = 'not-sent' | 'timeout' | 'lost'

/** A route's own classification, by status (`'409'`) or by range (`'5xx'`). */
export type OutcomeRules = Readonly<Record<string, Outcome>>

/** What the origin may say itself, in the header `Idempotency-Outcome`. */
export type OutcomeDirective = 'executed' | 'not-executed'

/**
 * Statuses that say that the operation was not begun: the caller is not let in (401, 403), comes
 * too early, too late or too often (408, 425, 429), the service is away (503), or Cloudflare could
 * not hand the request over: connection refused (521), unreachable (523), TLS (525, 526), DNS (530).
 */
const NOT_EXECUTED = new Set([401, 403, 408, 425, 429, 503, 521, 523, 525, 526, 530])

/** Server errors that are an answer to this very request: not implemented, HTTP version. */
const REFUSED = new Set([501, 505])

/**
 * Files an answer of the origin under an outcome. The origin's own word beats the route's rule
 * for the status, which beats the rule for the range, which beats the table.
 */
export function classifyStatus(
  status: number,
  rules: OutcomeRules = {},
  directive: OutcomeDirective | null = null,
): Outcome {
  if (directive === 'not-executed') return 'not_executed'
  if (directive === 'executed') return status < 400 ? 'succeeded' : 'failed'
  return rules[String(status)] ?? rules[`${Math.floor(status / 100)}xx`] ?? defaultOutcome(status)
}

function defaultOutcome(status: number): Outcome {
  if (NOT_EXECUTED.has(status)) return 'not_executed'
  if (status < 400) return 'succeeded'
  if (status < 500 || REFUSED.has(status)) return 'failed'
  return 'unknown'
}

/** Files a missing answer under an outcome: only proof that nothing was sent frees the key. */
export function classifyFault(fault: OriginFault): Outcome {
  return fault === 'not-sent' ? 'not_executed' : 'unknown'
}
