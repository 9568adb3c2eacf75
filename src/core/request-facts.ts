import type { SettleResult } from './operation/answer.ts'
import type { Outcome } from './outcome/outcome.ts'
import type { KeySource } from './request/key-source.ts'
import type { IdempotencyStatus } from './response/idempotency-status.ts'
import type { ProblemSlug } from './response/problem.ts'

/** The result of one delivery of an event. */
export type DeliveryStatus = 'delivered' | 'retried' | 'dead'

/** What an operator has done to an operation or a dead letter. */
export type AdminAction = 'released' | 'resolved' | 'erased' | 'requeued' | 'dropped'

/** What becomes of a queue message. */
export type Disposition = 'ack' | 'retry' | 'dead-letter'

/** Stands in the place of the method if a data point is not about an HTTP request. */
export type MessageMethod = 'QUEUE' | 'ONCE' | 'ALARM' | 'EVENT' | 'ADMIN'

/**
 * Everything that is counted and logged of one request on a protected route. No key, no body.
 * `metric-columns.ts` has the column of each fact.
 */
export interface RequestFacts {
  /** Name of the operation. */
  readonly operation: string
  readonly method: string
  readonly status: IdempotencyStatus | DeliveryStatus | AdminAction
  readonly httpStatus: number
  /** Of a request that was only observed: the status that it would have had. */
  readonly wouldBe: IdempotencyStatus | null
  /** Where its key was found; `none`: it has none; `null`: unknown. */
  readonly keySource: KeySource['in'] | 'none' | null
  readonly problem: ProblemSlug | null
  /** The outcome, if this request learned of one. */
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
   * Milliseconds: of a replay, since the operation settled; of an unknown outcome or its recovery, since
   * it was unknown; of an event, since it was made.
   */
  readonly ageMs: number
  readonly requestBytes: number
  /** Name of its origin; `null`: the deployment's own, or none. */
  readonly origin: string | null
  /** Calls of the origin that this request made, retries included. */
  readonly originCalls: number
  /** What happens to the queue message; `null` if it is none. */
  readonly disposition: Disposition | null
  /** The result of its settle; `null` if it made none. */
  readonly settle: SettleResult | null
}

/** The facts of something that is not a request. */
export const NO_FACTS = {
  httpStatus: 0,
  wouldBe: null,
  keySource: null,
  problem: null,
  outcome: null,
  claimMs: 0,
  originMs: 0,
  waitedMs: 0,
  requestBytes: 0,
  originCalls: 0,
  disposition: null,
  traceId: '',
  settle: null,
  origin: null,
} as const satisfies Partial<RequestFacts>
