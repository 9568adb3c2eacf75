import { isHapaxError } from '../core/hapax-error.ts'
import { isNotExecuted } from '../core/outcome/not-executed.ts'
import type { Outcome } from '../core/outcome/outcome.ts'
import { readOuterRetry } from '../core/retry/outer-retry.ts'
import { type RetryOptions, toRetryPolicy } from '../core/retry/retry-options.ts'
import { boundRetry, retryCalls, type RetryPolicy } from '../core/retry/retry.ts'
import { SharedBudget } from '../core/retry/shared-budget.ts'
import { type Sleep, sleepOnTimer } from './sleep.ts'

/** One try of some work. */
export interface RetryTry {
  /** From 1. Send it on as `Idempotency-Attempt`, so that the layers behind this one retry less. */
  readonly attempt: number
  /** Epoch milliseconds after which no try begins. Send it on as `X-Request-Deadline`. */
  readonly deadlineAt: number
  /** Is aborted with the signal that `retry` was given. */
  readonly signal: AbortSignal
}

/** What `retry` may be told besides the policy. */
export interface RetryContext {
  /** Ends the retries. A try that is running goes on: its result is returned. */
  readonly signal?: AbortSignal
  /**
   * Headers of the request for which the work is done. Its `Idempotency-Attempt` counts into
   * `attempts`, and no other try begins after its `X-Request-Deadline`. One try is always made.
   */
  readonly outer?: Headers
  /**
   * Whether the work may be done again after an error that does not say so itself. Default: no,
   * since it may have been done already.
   */
  readonly retryIf?: (error: unknown) => boolean
  /** Epoch milliseconds. */
  readonly now?: () => number
  /** A number in [0, 1). */
  readonly random?: () => number
  readonly sleep?: Sleep
}

/**
 * Does some work again as long as it is known that nothing was executed: after a `NotExecuted`, and
 * after a `HapaxError` that is `retryable`, not before their `retryAfter`. Every other error is thrown
 * at once, because the work may have been done.
 *
 * All calls with the same policy value share its budget, so make one value for each API that you call.
 *
 * @returns What the last try returns.
 * @throws What the last try throws, or the reason of the signal between two tries.
 * @throws {TypeError} If the policy is wrong.
 * @example
 * const policy: RetryOptions = { attempts: 5, deadline: '2m' }
 * await retry(policy, ({ signal }) => refund(order, { signal }))
 */
export async function retry<value>(
  policy: RetryOptions,
  work: (current: RetryTry) => Promise<value> | value,
  context: RetryContext = {},
): Promise<value> {
  const { signal = new AbortController().signal, outer = new Headers() } = context
  const { now = Date.now, random = Math.random, sleep = sleepOnTimer } = context
  const { retries, budget } = readPolicy(policy)
  const bounds = boundRetry(retries, readOuterRetry(outer), now())
  signal.throwIfAborted()
  budget.noteCall(now())
  const end = await retryCalls<TryEnd<value>>(retries, bounds, {
    call: (attempt) => tryOnce(work, { attempt, deadlineAt: bounds.deadlineAt, signal }),
    outcomeOf: (tried) => outcomeOf(tried, context),
    askOf: (tried) => ({ minimumMs: retryAfterOf(tried) }),
    async pause(delayMs) {
      signal.throwIfAborted()
      if (!budget.takeRetry(now())) return false
      await sleep(delayMs, signal)
      return true
    },
    now,
    random,
  })
  if (end.kind === 'lost') throw end.error
  return end.value
}

/** A policy that was read, and the budget of all calls with it. */
interface ReadPolicy {
  readonly retries: RetryPolicy
  readonly budget: SharedBudget
}

const read = new WeakMap<RetryOptions, ReadPolicy>()

function readPolicy(options: RetryOptions): ReadPolicy {
  const known = read.get(options)
  if (known !== undefined) return known
  const retries = toRetryPolicy(options)
  const policy = { retries, budget: new SharedBudget(retries.budget) }
  read.set(options, policy)
  return policy
}

/** How one try ended. */
type TryEnd<value> =
  | { readonly kind: 'done'; readonly value: value }
  | { readonly kind: 'lost'; readonly error: unknown }

async function tryOnce<value>(
  work: (current: RetryTry) => Promise<value> | value,
  current: RetryTry,
): Promise<TryEnd<value>> {
  try {
    return { kind: 'done', value: await work(current) }
  } catch (error) {
    return { kind: 'lost', error }
  }
}

function outcomeOf(end: TryEnd<unknown>, { retryIf }: RetryContext): Outcome {
  if (end.kind === 'done') return 'succeeded'
  const { error } = end
  if (isNotExecuted(error)) return 'not_executed'
  const isAgain = isHapaxError(error) ? error.retryable : retryIf?.(error) === true
  return isAgain ? 'unknown' : 'failed'
}

function retryAfterOf(end: TryEnd<unknown>): number {
  if (end.kind === 'done') return 0
  const { error } = end
  return (isNotExecuted(error) || isHapaxError(error) ? error.retryAfterMs : null) ?? 0
}
