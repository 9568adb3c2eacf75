/** What a handler knows about the operation that it executes: `c.var.hapax`. */
export interface OperationContext {
  /** Id of the operation, as logs, metrics and the admin API have it; `null` if the request is not protected. */
  readonly operationId: string | null
  /** Number of this execution: 1 for the first. It is above 1 after an execution whose outcome is not known. */
  readonly attempt: number
  /** Tenant of the request; `null` if it was not resolved. */
  readonly tenant: string | null
  /** Correlation id of the request. */
  readonly correlationId: string
  /**
   * The idempotency key for the APIs that the handler calls. It is the same for every attempt, and the
   * one that `protect` would forward: the derived key, the client's with `forwardKey: 'client'`, or
   * `null` with `forwardKey: false` or if the request is not protected.
   */
  readonly key: string | null
  /**
   * For how many milliseconds the last execution whose outcome is unknown has been over; `null`: there is
   * no such execution.
   */
  readonly inDoubtMs: number | null
  /** Aborted when the claim is lost: another owner may execute the operation from then on. */
  readonly signal: AbortSignal
}
