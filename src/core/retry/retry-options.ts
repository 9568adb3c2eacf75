import { type Duration, parseDuration } from '../duration.ts'
import type { BudgetPolicy, RetryPolicy } from './retry.ts'

/** When a request is sent again. The fields are those of `retry` in a policy of the gateway. */
export interface RetryOptions {
  /** Maximum number of tries, the first one included. Default: 4. */
  readonly attempts?: number
  /** Upper bound of the first delay; it doubles with every try. Default: `'200ms'`. */
  readonly base?: Duration
  /** Upper bound of every delay, unless the answer asks for a longer one. Default: `'5s'`. */
  readonly cap?: Duration
  /** Counted from the first try. No try begins after it. At most 24 hours. Default: `'60s'`. */
  readonly deadline?: Duration
  /** Retries per call over time, or `false` for no bound. Default: `{ ratio: 0.2, floor: 10 }`. */
  readonly budget?: BudgetPolicy | false
}

/** Within the time for which a gateway usually remembers an operation, and what a timer can hold. */
const MAX_DEADLINE_MS = 86_400_000

/** Fills in the defaults. @throws {TypeError} Names the field that is wrong, and what it must be. */
export function toRetryPolicy(options: RetryOptions = {}): RetryPolicy {
  const { attempts = 4, base = '200ms', cap = '5s', deadline = '60s', budget = BUDGET } = options
  if (!Number.isSafeInteger(attempts) || attempts < 1) {
    throw new TypeError('retry.attempts must be a whole number from 1.')
  }
  const deadlineMs = toMs('deadline', deadline)
  if (deadlineMs > MAX_DEADLINE_MS) throw new TypeError('retry.deadline must be at most 24h.')
  return {
    attempts,
    baseMs: toMs('base', base),
    capMs: toMs('cap', cap),
    deadlineMs,
    on: ['unknown'],
    budget: checkBudget(budget),
    breaker: false,
  }
}

const BUDGET: BudgetPolicy = { ratio: 0.2, floor: 10 }

function checkBudget(budget: BudgetPolicy | false): BudgetPolicy | false {
  if (budget === false || (budget.ratio >= 0 && budget.floor >= 0)) return budget
  throw new TypeError('retry.budget must be false, or have a ratio and a floor from 0.')
}

function toMs(name: keyof RetryOptions, value: Duration): number {
  const ms = parseDuration(value)
  if (ms === null) throw new TypeError(`retry.${name} must be a duration such as '200ms' or '10s'.`)
  return ms
}
