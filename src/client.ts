/** The client half: what a caller of an idempotent API imports, in browsers, servers and Workers. */
export { businessKey } from './client/business-key.ts'
export { createIdempotentFetch } from './client/idempotent-fetch.ts'
export { localStorageStore, memoryStore } from './client/key-store.ts'
export { once } from './client/once.ts'
export { readProblem } from './client/read-problem.ts'
export { retry, type RetryContext, type RetryTry } from './client/retry.ts'
export {
  ClaimLostError,
  HapaxError,
  InProgressError,
  KeyExpiredError,
  KeyReusedError,
  OutcomeUnknownError,
  ResultNotKeptError,
} from './core/hapax-error.ts'
export { probe } from './core/function/probe-function.ts'
export { StoredError } from './core/function/stored-error.ts'
export { NotExecuted } from './core/outcome/not-executed.ts'
export { body, business } from './core/request/key-source.ts'
export type { ClaimsEnv, LedgerGateway } from './client/claims.ts'
export type { ClientEvent } from './client/client-event.ts'
export type { FindText, IdempotentFetchOptions, KeyOption } from './client/fetch-options.ts'
export type { KeyStore, StorageLike } from './client/key-store.ts'
export type { Once, OnceOptions } from './client/once.ts'
export type { Sleep } from './client/sleep.ts'
export type { Duration } from './core/duration.ts'
export type { ErrorOutcome, ErrorOutcomes } from './core/function/error-outcome.ts'
export type { OnceContext } from './core/function/once-context.ts'
export type { OncePolicy } from './core/function/once-policy.ts'
export type { Found, FunctionProbe, ProbeFunction } from './core/function/probe-function.ts'
export type { ResultSchema, StandardSchema } from './core/function/result-schema.ts'
export type { NotExecutedOptions } from './core/outcome/not-executed.ts'
export type { RetryWord } from './core/response/retry-word.ts'
export type { RetryOptions } from './core/retry/retry-options.ts'
