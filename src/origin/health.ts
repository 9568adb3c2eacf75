import { type Circuit, CLOSED, reportCall, requestPassage } from '../core/retry/breaker.ts'
import { deposit, type RetryBudget, withdraw } from '../core/retry/retry-budget.ts'
import type { RetryPolicy } from '../core/retry/retry.ts'

/** Tenants whose budget is remembered for one origin; a forgotten one begins with a full bucket. */
const MAX_TENANTS = 1_000

/**
 * Circuit of one origin and each tenant's retry budget there, as this isolate has seen it. They are
 * not shared wider: `docs/decisions/003-breaker-and-budget.md` says why.
 */
export class OriginHealth {
  /** The tenant that was quiet for the longest time comes first. */
  readonly #budgets = new Map<string, RetryBudget>()
  #circuit: Circuit = CLOSED

  /** Asks for passage of a first call. @returns Milliseconds to stay away, or `null`: it may pass. */
  admit(policy: RetryPolicy, tenant: string, now: number): number | null {
    this.begin(policy, tenant, now)
    return this.#pass(policy, now)
  }

  /**
   * Asks for passage before it is known whether a call is made.
   *
   * @returns Milliseconds to stay away, or `null`. If no call is made, `giveBack` lets another one pass.
   */
  reserve(
    policy: RetryPolicy,
    now: number,
  ): { readonly retryAfterMs: number | null; readonly giveBack: () => void } {
    const before = this.#circuit
    const retryAfterMs = this.#pass(policy, now)
    const after = this.#circuit
    const giveBack = () => {
      if (this.#circuit === after) this.#circuit = before
    }
    return { retryAfterMs, giveBack }
  }

  /** Counts a first call that has passed before: it pays into the budget for retries. */
  begin({ budget }: RetryPolicy, tenant: string, now: number): void {
    if (budget !== false) this.#remember(tenant, deposit(this.#budgetOf(tenant), budget, now))
  }

  /** Asks for passage of a retry, which the tenant's budget must pay. */
  admitRetry(policy: RetryPolicy, tenant: string, now: number): boolean {
    const { budget } = policy
    if (budget === false) return this.#pass(policy, now) === null
    const left = withdraw(this.#budgetOf(tenant), budget, now)
    // A retry that the circuit stops costs nothing.
    if (left === null || this.#pass(policy, now) !== null) return false
    this.#remember(tenant, left)
    return true
  }

  /** Reports how a call that passed has ended. */
  report(policy: RetryPolicy, call: { readonly hasFailed: boolean; readonly now: number }): void {
    if (policy.breaker !== false) this.#circuit = reportCall(this.#circuit, policy.breaker, call)
  }

  #budgetOf(tenant: string): RetryBudget {
    return this.#budgets.get(tenant) ?? null
  }

  #remember(tenant: string, budget: RetryBudget): void {
    this.#budgets.delete(tenant)
    this.#budgets.set(tenant, budget)
    const [oldest] = this.#budgets.keys()
    if (this.#budgets.size > MAX_TENANTS && oldest !== undefined) this.#budgets.delete(oldest)
  }

  #pass(policy: RetryPolicy, now: number): number | null {
    if (policy.breaker === false) return null
    const passage = requestPassage(this.#circuit, policy.breaker, now)
    if (passage.isOpen) return passage.retryAfterMs
    this.#circuit = passage.circuit
    return null
  }
}

const healthByOrigin = new Map<string, OriginHealth>()

/** @param origin Names the origin among others. */
export function healthOf(origin: string): OriginHealth {
  const known = healthByOrigin.get(origin) ?? new OriginHealth()
  healthByOrigin.set(origin, known)
  return known
}
