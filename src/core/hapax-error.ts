import { type RetryWord, WHAT_TO_DO } from './response/retry-word.ts'

/** The facts of a `HapaxError`. */
export interface HapaxErrorFacts {
  /** Stable word for the kind of the error: the slug of the problem page, such as `key-reused`. */
  readonly code: string
  /** What happened, for people. Holds no key, body or secret. */
  readonly detail: string
  readonly retry: RetryWord
  /** Milliseconds to wait before the same call is made again; `null`: no time was given. */
  readonly retryAfterMs?: number | null
  /** JSON pointers (RFC 6901) to where the input differs from the first one with the same key. */
  readonly pointers?: readonly string[]
  readonly correlationId?: string | null
  readonly cause?: unknown
}

/**
 * An operation has no result for its caller, or not yet. `code` and `retry` are stable, and `message`
 * says what happened and what to do.
 */
export class HapaxError extends Error {
  override readonly name: string = 'HapaxError'
  readonly code: string
  readonly retry: RetryWord
  /** Whether the same call, made again with the same key, can end otherwise. */
  readonly retryable: boolean
  /** Milliseconds to wait before that, or `null`. */
  readonly retryAfterMs: number | null
  readonly correlationId: string | null

  constructor(facts: HapaxErrorFacts) {
    const { code, detail, retry, retryAfterMs = null, correlationId = null } = facts
    super(`${detail} ${WHAT_TO_DO[retry]}`, facts)
    this.code = code
    this.retry = retry
    this.retryable = retry === 'same-key' || retry === 'wait'
    this.retryAfterMs = retryAfterMs
    this.correlationId = correlationId
  }
}

/** `key-reused`: the key belongs to an operation with another input. */
export class KeyReusedError extends HapaxError {
  override readonly name = 'KeyReusedError'
  /** JSON pointers (RFC 6901) to where the two inputs differ. Empty if that is not known. */
  readonly pointers: readonly string[]

  constructor(facts: HapaxErrorFacts) {
    super(facts)
    this.pointers = facts.pointers ?? []
  }
}

/** `in-progress`: the operation is running elsewhere. Wait for `retryAfterMs`. */
export class InProgressError extends HapaxError {
  override readonly name = 'InProgressError'
}

/** `outcome-unknown`, `origin-timeout`: it is not known whether the operation was executed. */
export class OutcomeUnknownError extends HapaxError {
  override readonly name = 'OutcomeUnknownError'
}

/** `key-expired`: the operation has ended, and its result is no longer stored. */
export class KeyExpiredError extends HapaxError {
  override readonly name = 'KeyExpiredError'
}

/** `result-not-kept`, `snapshot-too-large`: the operation was executed, and its result cannot be returned again. */
export class ResultNotKeptError extends HapaxError {
  override readonly name = 'ResultNotKeptError'
}

/** `claim-lost`: another owner has the operation, or may have it, so the result of this one does not count. */
export class ClaimLostError extends HapaxError {
  override readonly name = 'ClaimLostError'
}

/** Reason of a signal that is aborted with its claim. */
export function claimLost(): ClaimLostError {
  const detail =
    'The claim of this execution is lost: another owner has the operation, or may take it over.'
  return new ClaimLostError({ code: 'claim-lost', detail, retry: 'same-key' })
}

const CLASSES: Readonly<Record<string, typeof HapaxError>> = {
  'key-reused': KeyReusedError,
  'in-progress': InProgressError,
  'outcome-unknown': OutcomeUnknownError,
  'origin-timeout': OutcomeUnknownError,
  'key-expired': KeyExpiredError,
  'result-not-kept': ResultNotKeptError,
  'snapshot-too-large': ResultNotKeptError,
  'claim-lost': ClaimLostError,
}

/** Creates the error of a code: its own class, or `HapaxError`. */
export function createError(facts: HapaxErrorFacts): HapaxError {
  const OwnError = Object.hasOwn(CLASSES, facts.code) ? CLASSES[facts.code] : undefined
  return new (OwnError ?? HapaxError)(facts)
}

/** Whether an error is a `HapaxError`, also of another entry of the package, which has its own copy of the class. */
export function isHapaxError(error: unknown): error is HapaxError {
  return error instanceof Error && 'retryable' in error && 'retryAfterMs' in error
}
