import { type Duration, parseDuration } from '../duration.ts'
import type { BudgetPolicy, RetryPolicy } from './retry.ts'

/**
 * When a call is made again. Everything that retries takes the same value: `retry()`,
 * `createIdempotentFetch`, `protect`, `consume` and `cron`. Only the defaults differ: those here are
 * the ones of `retry()` and `createIdempotentFetch`, and `docs/retries.md` lists the others.
 */
export interface RetryOptions {
  /** Maximum number of tries, the first one included. At most 101. Default: 4. */
  readonly attempts?: number
  /** Upper bound of the first delay; it doubles with every try. At most 12 hours. Default: `'200ms'`. */
  readonly base?: Duration
  /** Upper bound of every delay, unless the answer asks for a longer one. At most 12 hours. Default: `'5s'`. */
  readonly cap?: Duration
  /** Counted from the first try. No try begins after it. At most 24 hours. Default: `'60s'`. */
  readonly deadline?: Duration
  /** Retries per call over time, or `false` for no bound. Default: `{ ratio: 0.2, floor: 10 }`. */
  readonly budget?: Partial<BudgetPolicy> | false
}

/** The limits of every reader, so that what one takes is not refused by another. */
export const RETRY_LIMITS = {
  /** As often as a queue can deliver a message. */
  attempts: 101,
  /** As long as a queue can delay a message. */
  delayMs: 43_200_000,
  /** For as long a gateway remembers an operation by default, and a timer can hold it. */
  deadlineMs: 86_400_000,
  /** Of a budget. */
  ratio: 1,
  floor: 10_000,
} as const

/** What is filled in for a budget's members that are left out. */
export const BUDGET: BudgetPolicy = { ratio: 0.2, floor: 10 }

type Defaults = Pick<RetryPolicy, 'attempts' | 'baseMs' | 'capMs' | 'deadlineMs' | 'budget'>

const DEFAULTS: Defaults = {
  attempts: 4,
  baseMs: 200,
  capMs: 5_000,
  deadlineMs: 60_000,
  budget: BUDGET,
}

/**
 * Fills in the defaults.
 *
 * @throws {TypeError} Names the field that is wrong, and what it must be.
 */
export function toRetryPolicy(options: RetryOptions = {}, defaults = DEFAULTS): RetryPolicy {
  const {
    attempts = defaults.attempts,
    base = defaults.baseMs,
    cap = defaults.capMs,
    deadline = defaults.deadlineMs,
    budget = defaults.budget,
    ...others
  } = options
  const { delayMs, deadlineMs } = RETRY_LIMITS
  for (const name of Object.keys(others)) throw new TypeError(`retry.${name} is no option here.`)
  checkWhole('retry.attempts', attempts, RETRY_LIMITS.attempts)
  return {
    attempts,
    baseMs: toMs('retry.base', base, delayMs),
    capMs: toMs('retry.cap', cap, delayMs),
    deadlineMs: toMs('retry.deadline', deadline, deadlineMs),
    on: ['not_executed', 'unknown'],
    budget: toBudget(budget),
    breaker: false,
  }
}

function toBudget(options: Partial<BudgetPolicy> | false): BudgetPolicy | false {
  if (options === false) return false
  const { ratio, floor } = { ...BUDGET, ...options }
  if (Object(options) !== options || !(ratio >= 0 && ratio <= RETRY_LIMITS.ratio)) {
    throw new TypeError('retry.budget must be false, or have a ratio from 0 to 1.')
  }
  checkWhole('retry.budget.floor', floor, RETRY_LIMITS.floor)
  return { ratio, floor }
}

function checkWhole(name: string, value: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return
  throw new TypeError(`${name} must be a whole number from 1 to ${max}.`)
}

/** Milliseconds of an option. @throws {TypeError} If it is no duration, or longer than it may be. */
export function toMs(name: string, value: Duration, maxMs = Infinity): number {
  const ms = parseDuration(value)
  if (ms !== null && ms <= maxMs) return ms
  const most = maxMs === Infinity ? '' : `, at most ${maxMs / 3_600_000}h`
  throw new TypeError(`${name} must be a duration such as '200ms' or '10s'${most}.`)
}
