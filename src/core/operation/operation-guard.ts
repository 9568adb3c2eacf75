import type { Destination } from '../event/destination.ts'
import type { CloudEvent } from '../event/event.ts'
import type { Landing } from '../outcome/landing.ts'
import type { OriginFault } from '../outcome/outcome.ts'
import type { AnswerHead, LandingRules } from '../outcome/reply.ts'
import type { OriginRequest } from '../request/origin-request.ts'
import type { RetryBounds, RetryPolicy } from '../retry/retry.ts'
import type { SealKey } from '../seal.ts'
import type { Answer, SettleResult } from './answer.ts'
import type { CallEnd } from './attempts.ts'
import type { ClaimRequest, Granted } from './claim.ts'
import type { Explanation } from './explanation.ts'
import type { HandOver, HandOverQuestion } from './hand-over.ts'
import type { OperationView } from './operation-view.ts'
import type { OperatorAction, OperatorResult } from './operator-action.ts'
import type { OperatorView } from './operator-view.ts'
import type { DeployedPlacement } from './placement.ts'
import type { ClaimRef } from './record.ts'
import type { CallBounds } from './recovery.ts'
import type { HeaderField, WireResponse } from './snapshot.ts'

/** The facts about the request of a claim that matter for its answer. */
export interface Caller {
  /** Whether it asks for the result later and does not wait for the call, not even for its own. */
  readonly isAsync: boolean
  /** How long it waits for the call of another, in milliseconds; an async one also for its own. */
  readonly waitMs: number
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
  /** Headers with which the status resource is asked on its behalf. */
  readonly probeHeaders: readonly HeaderField[]
  /** Keys that open stored responses for it, that of the present secret first. */
  readonly sealKeys: readonly SealKey[]
  /** Epoch milliseconds after which nothing is begun for it, or `null`. */
  readonly deadlineAt: number | null
  /** Name of the rate-limiting binding that new operations are counted with, if any. */
  readonly rateLimiter: string | null
  /** Digest of its address, by which new operations are counted as well; `null` if it is verified. */
  readonly address: string | null
}

/** How a snapshot is stored. */
export interface Keeping {
  /** The key that seals it; `null` if the route does not seal. */
  readonly sealKey: SealKey | null
  /** Bytes from which a body is stored in the R2 bucket; `null`: never. */
  readonly spillBytes: number | null
}

/** How the origin is called. */
export interface CallPlan {
  readonly request: OriginRequest
  /** Name of the origin; absent for the deployment's own. */
  readonly origin?: string
  /** Tenant whose retry budget pays for retries. */
  readonly tenant: string
  readonly bounds: CallBounds
  readonly rules: LandingRules
  readonly retry: RetryPolicy
  readonly retryBounds: RetryBounds
  readonly keeping: Keeping
}

/** One request of a route that forwards to the origin. */
export interface ExecuteCall {
  readonly claim: ClaimRequest
  readonly caller: Caller
  readonly plan: CallPlan
  /** Whether the request is stored for a recovery without a client. */
  readonly isStored: boolean
  /** What explains a later mismatch, if anything does. */
  readonly explanation?: Explanation | null
}

/** A claim of a Worker that forwards the request to the origin. */
export interface Forwarding {
  /** The request as the route keeps it for a recovery without a client, or `null`. */
  readonly stored: Uint8Array | null
  /** The circuit to the origin is open: for how many milliseconds a caller is to stay away. `null`: it is closed. */
  readonly circuitMs: number | null
  /**
   * The call of a client that comes back for the result: the object makes it if it must ask the origin
   * first. `null` for a client that waits.
   */
  readonly call: ExecuteCall | null
}

/** What comes with the claim of a Worker. */
export interface ClaimDetails {
  /** What explains a later mismatch, if anything does. */
  readonly explanation?: Explanation | null
  /** Absent where a handler runs, and nothing is forwarded. */
  readonly forwarding?: Forwarding
}

/** A request for an object that calls the origin in place of a Worker, which may end too soon. */
export interface ForwardCall extends ExecuteCall {
  readonly leaseMs: number
  /** Where the object is that guards the operation. */
  readonly deployed: DeployedPlacement
}

/** The next claim of a Worker that calls the origin again. */
export interface LeasedClaim {
  readonly claimId: string
  readonly leaseMs: number
}

/** An event for the outbox. */
export interface Outgoing {
  readonly event: CloudEvent
  readonly to: Destination
}

/** How a Worker ends its claim. */
export interface SettleCall extends Pick<Landing, 'settlement' | 'end'> {
  readonly claim: ClaimRef
  readonly sealKey: SealKey | null
  /** Events of its handler: stored with a result, dropped without one. */
  readonly events: readonly Outgoing[]
}

/** An answer that is still arriving at a Worker. */
export interface StreamCall extends AnswerHead {
  readonly claim: ClaimRef
  readonly rules: LandingRules
  readonly limitBytes: number
  readonly body: ReadableStream<Uint8Array>
  /** Length of the body, if it was declared. */
  readonly declaredBytes?: number | null
  /**
   * Asked when the end of the body has arrived, or when it broke off: why, or `null`. Without it, a
   * body that broke off was lost with its Worker.
   */
  readonly faultOf?: () => Promise<OriginFault | null>
  readonly keeping: Keeping
  readonly events: readonly Outgoing[]
}

/** Asks for an operation by its id, on behalf of a tenant. */
export interface OperationQuestion {
  readonly operationId: string
  readonly tenant: string
  /** How long to wait for its end, in milliseconds. */
  readonly waitMs: number
  /** The state that the client knows: another one ends the wait too. `null`: only the end does. */
  readonly knownState: string | null
}

/** A claim granted to a Worker, which makes the call itself. So there is no `Answer` yet. */
export interface Grant {
  readonly kind: 'granted'
  readonly claim: Granted
  /** For how many milliseconds an earlier call has left the operation in doubt, if it has. */
  readonly doubtMs?: number | null
  /** For how many milliseconds the last such call has been over, if there is one. */
  readonly lastDoubtMs?: number | null
}

/**
 * What a Worker may ask of the object that guards an operation. Plain data both ways; a promise
 * rejects only when the object could not be reached or was reset.
 *
 * Instead of any answer the object may return `Moved`: `askObject` then asks the other object, so that
 * its callers never see it.
 */
export interface OperationGuard {
  /** Runs the operation at the origin, or answers from what is known about it. */
  execute(call: ExecuteCall): Promise<Answer>
  /** Grants the operation to the Worker under a lease, or answers from what is known about it. */
  claim(claim: ClaimRequest, caller: Caller, details?: ClaimDetails): Promise<Grant | Answer>
  /** Lengthens a lease. @returns `false` when no Worker holds this claim any more. */
  renew(claim: ClaimRef, leaseMs: number): Promise<boolean>
  /** Notes that a Worker's call has ended and another one follows. @returns `false` as for `renew`. */
  note(claim: ClaimRef, end: CallEnd): Promise<boolean>
  /** Makes the next claim of a Worker. A repeat gets the same one. @returns `null` if another one has it. */
  claimAgain(claim: ClaimRef, next: LeasedClaim): Promise<Granted | null>
  /** Promises the result of an operation to a client that comes back for it. @returns `null` if it is unknown. */
  accept(operationId: string): Promise<Extract<Answer, { readonly kind: 'accepted' }> | null>
  /** Ends the Worker's claim; refused if a newer claim exists, or none. A repeat is `taken` again. */
  settle(call: SettleCall): Promise<SettleResult>
  /** Shows an operation to its tenant, after a bounded wait for its end. */
  inspect(question: OperationQuestion): Promise<OperationView | null>
  /** Answers the tenant with the result of an operation, or with why there is none. */
  result(question: OperationQuestion, caller: Caller): Promise<Answer | null>
  /** Takes over a Worker's claim to record its stream. @returns The response for the first client. */
  stream(call: StreamCall): Promise<WireResponse>
  /** Shows an operation to an operator. The caller checks who may see it. */
  examine(operationId: string): Promise<OperatorView | null>
  /** Performs an operator's action. */
  operate(operationId: string, action: OperatorAction): Promise<OperatorResult>
  /**
   * Sets the object's alarm again, if something is due and the platform has given the alarm up.
   *
   * @returns `over` if the operation has ended, or cannot have been executed.
   */
  rearm(operationId: string): Promise<'in-doubt' | 'over'>
  /** Hands an operation of an earlier placement over to another object, if nothing is known of it here. */
  handOver(question: HandOverQuestion): Promise<HandOver>
  /** Forwards a request as a Worker does: claims at the guard of the operation. Stores nothing itself. */
  forward(call: ForwardCall): Promise<Answer>
  /**
   * As `execute`, `claim` and `forward`, for a named origin. An object of a version without named origins
   * lacks them: it would call the deployment's own.
   */
  executeNamed: OperationGuard['execute']
  claimNamed: OperationGuard['claim']
  forwardNamed: OperationGuard['forward']
}
