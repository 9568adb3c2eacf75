import type { Answer, SettleResult } from '../core/answer.ts'
import type { ClaimRequest } from '../core/claim.ts'
import type { FlightEnd, LandingRules } from '../core/landing.ts'
import type { OriginRequest } from '../core/origin-request.ts'
import type { ClaimRef } from '../core/record.ts'
import type { CallBounds } from '../core/recovery.ts'
import type { RetryBounds, RetryPolicy } from '../core/retry.ts'
import type { Settlement } from '../core/settle.ts'
import type { HeaderField } from '../core/snapshot.ts'

/** The request that makes a claim, as far as it matters for the answer. */
export interface Caller {
  /** How long it waits for the call of another, in milliseconds. */
  readonly waitMs: number
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
  /** Headers under which the origin's status resource is asked on its behalf. */
  readonly probeHeaders: readonly HeaderField[]
  /** Name of the rate-limiting binding that new operations are counted with, if any. */
  readonly rateLimiter: string | null
}

/** How the origin is called. */
export interface CallPlan {
  readonly request: OriginRequest
  readonly bounds: CallBounds
  readonly rules: LandingRules
  readonly retry: RetryPolicy
  readonly retryBounds: RetryBounds
}

/** One request of a route whose origin the object calls itself. */
export interface ExecuteCall {
  readonly claim: ClaimRequest
  readonly caller: Caller
  readonly plan: CallPlan
  /** The request in the form that is kept for a recovery without a client, where the route says so. */
  readonly stored: Uint8Array<ArrayBuffer> | null
}

/** How a Worker ends its claim: the outcome, and what it leaves to those who wait. */
export interface SettleCall {
  readonly claim: ClaimRef
  readonly settlement: Settlement
  readonly end: FlightEnd
}

/** A claim granted to a Worker, or what is to be answered instead. */
export type ClaimAnswer = { readonly kind: 'granted'; readonly claim: ClaimRef } | Answer

/**
 * What a Worker may ask of the object that guards an operation. Plain data both ways; a promise
 * rejects only when the object could not be reached or was reset.
 */
export interface OperationGuard {
  /** Runs the operation at the origin, or answers from what is known about it. */
  execute(call: ExecuteCall): Promise<Answer>
  /** Grants the operation to the Worker under a lease, or answers from what is known about it. */
  claim(claim: ClaimRequest, caller: Caller): Promise<ClaimAnswer>
  /** Lengthens a lease. @returns `false` when the claim has ended or a newer one exists. */
  renew(claim: ClaimRef, leaseMs: number): Promise<boolean>
  /** Ends the Worker's claim; refused when a newer claim exists, or none. */
  settle(call: SettleCall): Promise<SettleResult>
}
