import { deposit, type RetryBudget, withdraw } from './retry-budget.ts'
import type { BudgetPolicy } from './retry.ts'

/** The retry budget of many calls, as one process has seen them. */
export class SharedBudget {
  readonly #policy: BudgetPolicy | false
  #budget: RetryBudget = null

  /** @param policy `false`: every retry is allowed. */
  constructor(policy: BudgetPolicy | false) {
    this.#policy = policy
  }

  /** Counts a first call. */
  noteCall(now: number): void {
    if (this.#policy !== false) this.#budget = deposit(this.#budget, this.#policy, now)
  }

  /** Takes out a retry. @returns Whether there was one left. */
  takeRetry(now: number): boolean {
    if (this.#policy === false) return true
    const left = withdraw(this.#budget, this.#policy, now)
    if (left !== null) this.#budget = left
    return left !== null
  }
}
