import type { Answer } from '../core/answer.ts'
import type { ClaimRequest } from '../core/claim.ts'
import type { FlightEnd, LandingRules } from '../core/landing.ts'
import type { ClaimRef } from '../core/record.ts'
import type { Settlement } from '../core/settle.ts'
import type { CallBounds, OriginRequest } from '../origin/call.ts'

/** How long a duplicate waits, and what it brings along for a replay. */
export interface JoinRules {
  readonly waitMs: number
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
}

/** One request of a route whose origin the object calls itself. */
export interface ExecuteCall {
  readonly claim: ClaimRequest
  readonly request: OriginRequest
  readonly join: JoinRules
  readonly bounds: CallBounds
  readonly rules: LandingRules
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
  claim(claim: ClaimRequest, join: JoinRules): Promise<ClaimAnswer>
  /** Lengthens a lease. @returns `false` when the claim has ended or a newer one exists. */
  renew(claim: ClaimRef, leaseMs: number): Promise<boolean>
  /** Ends the Worker's claim. @returns `false` when it was refused: a newer claim exists, or none. */
  settle(call: SettleCall): Promise<boolean>
}
