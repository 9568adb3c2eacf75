import type { BudgetPolicy } from './retry.ts'

/** Tokens for retries of one tenant at one origin, as they were at a time; `null` before its first call. */
export type RetryBudget = { readonly tokens: number; readonly at: number } | null

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
  const tokens = tokensAt(budget, policy, now)
  return { tokens: topUp(tokens, policy.ratio, policy), at: now }
}

/**
 * What a retry takes out.
 *
 * @param now Epoch milliseconds.
 * @returns `null` when there is not enough left.
 */
export function withdraw(budget: RetryBudget, policy: BudgetPolicy, now: number): RetryBudget {
  const tokens = tokensAt(budget, policy, now)
  return tokens >= 1 ? { tokens: tokens - 1, at: now } : null
}

/** What is there by now: an empty bucket fills within a minute, so that who is quiet has retries again. */
function tokensAt(budget: RetryBudget, policy: BudgetPolicy, now: number): number {
  if (budget === null) return policy.floor
  const filled = (Math.max(0, now - budget.at) / FILL_MS) * policy.floor
  return topUp(budget.tokens, filled, policy)
}

/** Another route of the origin may have a larger bucket: what is in it stays. */
function topUp(tokens: number, more: number, { floor }: BudgetPolicy): number {
  return Math.max(tokens, Math.min(floor, tokens + more))
}
