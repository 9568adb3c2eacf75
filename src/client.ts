/** The client half: what a caller of an idempotent API imports, in browsers, servers and Workers. */
export {
  createIdempotentFetch,
  type IdempotentFetchOptions,
  type KeyOption,
} from './client/idempotent-fetch.ts'
export type { RetryOptions } from './core/retry/retry-options.ts'
export { NotExecuted, type NotExecutedOptions } from './core/outcome/not-executed.ts'
export { retry, type RetryContext, type RetryTry } from './client/retry.ts'
export type { Sleep } from './client/sleep.ts'
export type { Duration } from './core/duration.ts'
