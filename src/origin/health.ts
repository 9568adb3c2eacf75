import { type Circuit, CLOSED, reportCall, requestPassage } from '../core/breaker.ts'
import { deposit, type RetryBudget, withdraw } from '../core/retry-budget.ts'
import type { RetryPolicy } from '../core/retry.ts'

/**
 * Retry budget and circuit of one origin, as this isolate has seen it. They are not shared wider:
 * `docs/decisions/003-breaker-and-budget.md` says why.
 */
export class OriginHealth {
  #budget: RetryBudget = null
  #circuit: Circuit = CLOSED

  /** Asks for passage of a first call. @returns Milliseconds to stay away, or `null`: it may pass. */
  admit(policy: RetryPolicy, now: number): number | null {
    if (policy.budget !== false) this.#budget = deposit(this.#budget, policy.budget)
    return this.#pass(policy, now)
  }

  /** Asks for passage of a retry, which the budget must pay. */
  admitRetry(policy: RetryPolicy, now: number): boolean {
    if (policy.budget !== false) {
      const left = withdraw(this.#budget, policy.budget)
      if (left === null) return false
      this.#budget = left
    }
    return this.#pass(policy, now) === null
  }

  /** Reports how a call that passed has ended. */
  report(policy: RetryPolicy, call: { readonly hasFailed: boolean; readonly now: number }): void {
    if (policy.breaker !== false) this.#circuit = reportCall(this.#circuit, policy.breaker, call)
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

/** @param origin Names the origin: its base URL. */
export function healthOf(origin: string): OriginHealth {
  const known = healthByOrigin.get(origin) ?? new OriginHealth()
  healthByOrigin.set(origin, known)
  return known
}
