import type { Outcome } from '../outcome/outcome.ts'

/** When and how often a call is made again. Times are milliseconds. */
export interface RetryPolicy {
  /** Maximum number of calls, the first one included. */
  readonly attempts: number
  /** Upper bound of the first delay; it doubles with every attempt. */
  readonly baseMs: number
  /** Upper bound of every delay. */
  readonly capMs: number
  /** Counted from the first call. No call begins after it. */
  readonly deadlineMs: number
  /** Outcomes after which the call is made again. */
  readonly on: readonly Outcome[]
  /** Retries per call to one origin, over time; `floor` of them are free. */
  readonly budget: BudgetPolicy | false
  readonly breaker: BreakerPolicy | false
}

/** A token bucket: every call pays `ratio` in, to `floor` tokens at the most; a retry takes one out. */
export interface BudgetPolicy {
  readonly ratio: number
  readonly floor: number
}

/** When a circuit opens, and for how long. */
export interface BreakerPolicy {
  /** Failures in a row that open it. */
  readonly failures: number
  readonly cooldownMs: number
}

/** What is left of a policy for one request. */
export interface RetryBounds {
  readonly attempts: number
  /** Epoch milliseconds after which no call begins. */
  readonly deadlineAt: number
}

/** What the layer before this one says about its own retries. */
export interface OuterRetry {
  /** `Idempotency-Attempt`: which attempt of the outer layer this is, from 1. */
  readonly attempt: number
  /** `X-Request-Deadline` in epoch milliseconds, or `null`. */
  readonly deadlineAt: number | null
}

/**
 * Bounds a policy by what the layer before has used up, so that the retries of layers do not multiply.
 * One call is always left.
 */
export function boundRetry(policy: RetryPolicy, outer: OuterRetry, now: number): RetryBounds {
  const attempts = Math.max(1, policy.attempts - (outer.attempt - 1))
  const deadlineAt = Math.min(now + policy.deadlineMs, outer.deadlineAt ?? Infinity)
  return { attempts, deadlineAt }
}

/**
 * Exponential backoff with full jitter: uniform between 0 and the bound, which doubles with every
 * attempt up to the cap.
 *
 * @param attempt Calls made so far, from 1.
 * @param random A number in [0, 1).
 */
export function backoffMs(
  policy: Pick<RetryPolicy, 'baseMs' | 'capMs'>,
  attempt: number,
  random: number,
): number {
  const bound = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1))
  return Math.floor(random * (bound + 1))
}

/** The facts when a call has ended. */
export interface RetryFacts {
  /** Calls made so far for this request, from 1. */
  readonly attempt: number
  readonly outcome: Outcome
  readonly now: number
  readonly random: number
  readonly ask?: RetryAsk
}

/** What an answer says about another try. */
export interface RetryAsk {
  /** For how many milliseconds there must be none. */
  readonly minimumMs?: number
  /** Whether there must be none at all. */
  readonly isForbidden?: boolean
}

/** Whether the call is made again, and after how many milliseconds. */
export type RetryDecision =
  | { readonly kind: 'retry'; readonly delayMs: number }
  | { readonly kind: 'stop'; readonly because: 'outcome' | 'origin' | 'attempts' | 'deadline' }

/** Decides whether a call is made again. The caller then asks budget and circuit. */
export function decideRetry(
  policy: RetryPolicy,
  bounds: RetryBounds,
  facts: RetryFacts,
): RetryDecision {
  if (!policy.on.includes(facts.outcome)) return { kind: 'stop', because: 'outcome' }
  const { minimumMs = 0, isForbidden = false } = facts.ask ?? {}
  if (isForbidden) return { kind: 'stop', because: 'origin' }
  if (facts.attempt >= bounds.attempts) return { kind: 'stop', because: 'attempts' }
  const delayMs = Math.max(minimumMs, backoffMs(policy, facts.attempt, facts.random))
  if (facts.now + delayMs >= bounds.deadlineAt) return { kind: 'stop', because: 'deadline' }
  return { kind: 'retry', delayMs }
}

/** What `retryCalls` needs to know and to do, besides the policy. */
export interface RetrySteps<end> {
  /** Makes one call. @param attempt Calls made so far, this one counted. */
  readonly call: (attempt: number) => Promise<end>
  readonly outcomeOf: (end: end) => Outcome
  /** What the answer says about another try. */
  readonly askOf?: (end: end) => RetryAsk
  /** Waits before the next call. @returns `false` when there is to be none after all. */
  readonly pause: (delayMs: number, end: end) => Promise<boolean>
  /** Epoch milliseconds. */
  readonly now: () => number
  /** A number in [0, 1). */
  readonly random: () => number
}

/** Makes a call until the policy allows no other one. @returns How the last call ended. */
export async function retryCalls<end>(
  policy: RetryPolicy,
  bounds: RetryBounds,
  steps: RetrySteps<end>,
): Promise<end> {
  for (let attempt = 1; ; attempt++) {
    // oxlint-disable-next-line no-await-in-loop -- one call after the other
    const end = await steps.call(attempt)
    const outcome = steps.outcomeOf(end)
    const ask = steps.askOf?.(end) ?? {}
    const facts = { attempt, outcome, ask, now: steps.now(), random: steps.random() }
    const decision = decideRetry(policy, bounds, facts)
    if (decision.kind === 'stop') return end
    // oxlint-disable-next-line no-await-in-loop -- the pause between two calls
    if (!(await steps.pause(decision.delayMs, end))) return end
  }
}
