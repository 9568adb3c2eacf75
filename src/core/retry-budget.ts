import type { BudgetPolicy } from './retry.ts'

/** Tokens left for retries of one origin; `null` before its first call. */
export type RetryBudget = number | null

/** What a call pays in. */
export function deposit(budget: RetryBudget, policy: BudgetPolicy): number {
  const tokens = budget ?? policy.floor
  // Another route of the origin may have a larger bucket: what is in it stays.
  return Math.max(tokens, Math.min(policy.floor, tokens + policy.ratio))
}

/** What a retry takes out. @returns `null` when there is not enough left. */
export function withdraw(budget: RetryBudget, policy: BudgetPolicy): number | null {
  const tokens = budget ?? policy.floor
  return tokens >= 1 ? tokens - 1 : null
}
