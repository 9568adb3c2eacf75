import type { Duration } from '../core/duration.ts'
import {
  RETRY_LIMITS,
  type RetryOptions,
  toMs,
  toRetryPolicy,
} from '../core/retry/retry-options.ts'
import type { SharedBudget } from '../core/retry/shared-budget.ts'
import type { ClientEvent } from './client-event.ts'
import type { KeyStore } from './key-store.ts'
import { type Sleep, sleepOnTimer } from './sleep.ts'

/** Finds a text in a request, whose body it may read. */
export type FindText = (request: Request) => string | Promise<string>

/** The key of an operation, or a function that finds it. */
export type KeyOption = string | FindText

/** Options of `createIdempotentFetch`. */
export interface IdempotentFetchOptions {
  /** Key of a request that has no `Idempotency-Key` of its own. Default: a random UUID. */
  readonly key?: KeyOption
  readonly retry?: RetryOptions
  /**
   * How long one try waits for the headers of its answer. Then it is given up and sent again with the
   * same key. At most 24 hours. Default, also for 0: two thirds of `retry.deadline`, between 1 and 40
   * seconds.
   */
  readonly timeout?: Duration
  /**
   * Keeps the key of an operation until its outcome is known. A call then resolves when its answer is
   * complete, unless it is a stream of events, and `timeout` includes that. Default: none.
   */
  readonly store?: KeyStore
  /** Names the operation in the store. Default: method, URL and body. */
  readonly intent?: FindText
  /**
   * How long a key of the store is used. Keep it below the time for which the API remembers a key.
   * Default: `'23h'`.
   */
  readonly maxKeyAge?: Duration
  /** Whether an operation that Hapax has accepted (202) is followed to its result. Default: `false`. */
  readonly followAccepted?: boolean
  /** Whether problems of Hapax and lost answers reject with a `HapaxError`. Default: `false`. */
  readonly throwProblems?: boolean
  /** Is told what happens. If it throws or rejects, this has no effect. */
  readonly onEvent?: (event: ClientEvent) => unknown
  /** Makes one try. Default: the platform's `fetch`. */
  readonly fetch?: (request: Request, init?: { readonly signal: AbortSignal }) => Promise<Response>
  /** Epoch milliseconds. */
  readonly now?: () => number
  /** A number in [0, 1). */
  readonly random?: () => number
  readonly sleep?: Sleep
}

/** Fills in the defaults. @throws {TypeError} If an option is wrong. */
export function toSettings(options: IdempotentFetchOptions) {
  const policy = toRetryPolicy(options.retry)
  const defaultMs = Math.max(1_000, Math.min(40_000, (policy.deadlineMs * 2) / 3))
  return {
    ...options,
    policy,
    timeoutMs: toMs('timeout', options.timeout ?? 0, RETRY_LIMITS.deadlineMs) || defaultMs,
    maxKeyAgeMs: toMs('maxKeyAge', options.maxKeyAge ?? '23h'),
    /** By the origin of the URL. */
    budgets: new Map<string, SharedBudget>(),
    // Later than here, a page or a test can replace them.
    fetch: options.fetch ?? ((request, init) => fetch(request, init)),
    now: options.now ?? (() => Date.now()),
    random: options.random ?? (() => Math.random()),
    sleep: options.sleep ?? sleepOnTimer,
    /** A hook that throws, or rejects, is no fault of the call. */
    tell: (event: ClientEvent): void => {
      const told = async () => options.onEvent?.(event)
      told().catch(() => {})
    },
  }
}

/** Options with their defaults, and what the calls of one function share. */
export type Settings = ReturnType<typeof toSettings>
