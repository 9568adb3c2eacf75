import type { BudgetPolicy } from './retry.ts'

/** The bucket of one tenant at one origin, as it was at a time; `null` before its first call. */
export type RetryBudget = {
  readonly tokens: number
  /** What it holds: the largest floor of the routes that have used it. */
  readonly size: number
  readonly at: number
} | null

/** Milliseconds in which an empty bucket is full again by itself. */
const FILL_MS = 60_000

/**
 * What a call pays in.
 *
 * @param now Epoch milliseconds.
 */
export function deposit(
  budget: RetryBudget,
  policy: BudgetPolicy,
  now: number,
): NonNullable<RetryBudget> {
  const { tokens, size } = refill(budget, policy, now)
  return { tokens: Math.min(size, tokens + policy.ratio), size, at: now }
}

/**
 * What a retry takes out.
 *
 * @param now Epoch milliseconds.
 * @returns `null` when there is not enough left.
 */
export function withdraw(budget: RetryBudget, policy: BudgetPolicy, now: number): RetryBudget {
  const { tokens, size } = refill(budget, policy, now)
  return tokens >= 1 ? { tokens: tokens - 1, size, at: now } : null
}

/**
 * What is there by now: an empty bucket fills within a minute, so that who is quiet has retries again.
 *
 * Routes of different floors share the bucket. It fills by the largest of them: otherwise calls of a
 * route with a small one would keep it from filling for the others.
 */
function refill(
  budget: RetryBudget,
  { floor }: BudgetPolicy,
  now: number,
): Pick<NonNullable<RetryBudget>, 'tokens' | 'size'> {
  if (budget === null) return { tokens: floor, size: floor }
  const size = Math.max(budget.size, floor)
  const filled = (Math.max(0, now - budget.at) / FILL_MS) * size
  // What a route with a larger floor adds is there from its first call on.
  return { tokens: Math.min(size, budget.tokens + size - budget.size + filled), size }
}
