import { type Duration, parseDuration } from '../core/duration.ts'
import type { OnceContext } from '../core/function/once-context.ts'
import type { RetryOptions } from '../core/retry/retry-options.ts'
import type { Any } from '../http/gateway-env.ts'
import type { WorkerOncePolicy } from './once-policy.ts'
import { once } from './once.ts'

/** One tick of a Cron Trigger. */
export interface CronTick {
  /** The cron expression of the trigger. */
  readonly cron: string
  /** When the tick was due, in epoch milliseconds. */
  readonly scheduledTime: number
}

/** Options of `cron`: those of `once`. A tick itself is the key. */
export interface CronOptions extends Omit<
  WorkerOncePolicy<CronTick, unknown>,
  'key' | 'fingerprint' | 'result' | 'retry'
> {
  /**
   * When the function is called again for the same tick. No call begins later than 13 minutes after the
   * first one. Default: `{ attempts: 4, base: '1s', cap: '1m', deadline: '10m' }`.
   */
  readonly retry?: RetryOptions
}

const RETRY = { attempts: 4, base: '1s', cap: '1m', deadline: '10m' } as const

/** The platform ends a scheduled event after 15 minutes. The last call needs some of them. */
const LONGEST_MS = 780_000

/**
 * Creates a `scheduled()` handler that executes each tick of a Cron Trigger once, and calls the
 * function again for the same tick as the policy says: the platform itself never does. Call `cron`
 * where the module starts.
 *
 * @param name Name of the operation in records and metrics. If it changes, a tick can be executed again.
 * @param fn Gets the tick, and what a function of `once` gets. `NotExecuted` means that it has done nothing.
 * @throws {Error} If an option is invalid. The message names all of them.
 * @example
 * export default createWorker(app, {
 *   scheduled: cron('invoices', { unknown: 'resend' }, (tick, { env, key }) => sendInvoices(env, key)),
 * })
 */
export function cron<env = Any>(
  name: string,
  options: CronOptions,
  fn: (tick: CronTick, context: OnceContext<env>) => unknown,
): ExportedHandlerScheduledHandler<Any> {
  const retry = { ...RETRY, ...options.retry }
  const policy = { ...options, retry: { ...retry, deadline: boundDeadline(retry.deadline) } }
  const run = once(name, policy, fn)
  return async function scheduled(controller, bindings) {
    const { cron: expression, scheduledTime } = controller
    await run(bindings, { cron: expression, scheduledTime })
  }
}

/** A deadline that is none is refused where the policy is read. */
function boundDeadline(deadline: Duration): Duration {
  const ms = parseDuration(deadline)
  return ms === null ? deadline : Math.min(ms, LONGEST_MS)
}
