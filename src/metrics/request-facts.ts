import type { SettleResult } from '../core/answer.ts'
import type { IdempotencyStatus } from '../core/idempotency-status.ts'
import type { KeySource } from '../core/key-source.ts'
import type { Outcome } from '../core/outcome.ts'
import type { ProblemSlug } from '../core/problem.ts'

/** What became of one delivery of an event. */
export type DeliveryStatus = 'delivered' | 'retried' | 'dead'

/** What an operator has done to an operation or a dead letter. */
export type AdminAction = 'released' | 'resolved' | 'erased' | 'requeued' | 'dropped'

/** What becomes of a queue message. */
export type Disposition = 'ack' | 'retry' | 'dead-letter'

/** Everything that is counted and logged of one request on a protected route. No key, no body. */
export interface RequestFacts {
  /** Name of the operation. */
  readonly operation: string
  readonly method: string
  readonly status: IdempotencyStatus | DeliveryStatus | AdminAction
  readonly httpStatus: number
  /** Of a request that was only observed: what would have become of it. */
  readonly wouldBe: IdempotencyStatus | null
  /** Where its key was found; `none`: it has none; `null`: that is not known. */
  readonly keySource: KeySource['in'] | 'none' | null
  readonly problem: ProblemSlug | null
  /** Where this request learned of one. */
  readonly outcome: Outcome | null
  /** As the tenant resolver names it: for a credential, its digest. */
  readonly tenant: string | null
  readonly correlationId: string
  /** Of W3C Trace Context: the client's, or the one that was made for it. */
  readonly traceId: string
  readonly operationId: string | null
  /** Attempt number of the operation's last claim. */
  readonly fence: number
  /** Milliseconds from the request's arrival to its answer. */
  readonly totalMs: number
  /** Milliseconds to the claim's decision: the way to the object and back, without the call and the wait. */
  readonly claimMs: number
  /** Milliseconds of the origin's call, or of the handler: time in `in_progress`. */
  readonly originMs: number
  /** Milliseconds waited for the call of another request. */
  readonly waitedMs: number
  /**
   * On a replay, milliseconds since the operation settled; of an unknown outcome, and of what a
   * recovery found out, for how long it had been unknown; of an event, since it was made.
   */
  readonly ageMs: number
  readonly requestBytes: number
  /** Calls of the origin that this request made, retries included. */
  readonly originCalls: number
  /** What becomes of the queue message that it is; `null` where it is none. */
  readonly disposition: Disposition | null
  /** What became of its settle; `null` where it made none. */
  readonly settle: SettleResult | null
}
