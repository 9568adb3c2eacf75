import type { Answer, SettleResult } from './answer.ts'
import type { ClaimRequest } from './claim.ts'
import type { Destination } from './destination.ts'
import type { CloudEvent } from './event.ts'
import type { Landing } from './landing.ts'
import type { OperationView } from './operation-view.ts'
import type { OperatorAction, OperatorResult } from './operator-action.ts'
import type { OperatorView } from './operator-view.ts'
import type { OriginRequest } from './origin-request.ts'
import type { ClaimRef } from './record.ts'
import type { CallBounds } from './recovery.ts'
import type { AnswerHead, LandingRules } from './reply.ts'
import type { RetryBounds, RetryPolicy } from './retry.ts'
import type { SealKey } from './seal.ts'
import type { HeaderField, WireResponse } from './snapshot.ts'

/** The request that makes a claim, as far as it matters for the answer. */
export interface Caller {
  /** Whether it comes back for the result and does not wait for the call, not even for its own. */
  readonly isAsync: boolean
  /** How long it waits for the call of another, in milliseconds; an async one also for its own. */
  readonly waitMs: number
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
  /** Headers under which the origin's status resource is asked on its behalf. */
  readonly probeHeaders: readonly HeaderField[]
  /** What opens stored responses for it, the present secret's key first. */
  readonly sealKeys: readonly SealKey[]
  /** Epoch milliseconds after which nothing is begun for it, or `null`. */
  readonly deadlineAt: number | null
  /** Name of the rate-limiting binding that new operations are counted with, if any. */
  readonly rateLimiter: string | null
  /**
   * Digest of where it comes from, which its new operations are counted by as well; `null` where
   * somebody has verified whose it is.
   */
  readonly address: string | null
}

/** How a snapshot is kept. */
export interface Keeping {
  /** What it is sealed with; `null` where the route does not say so. */
  readonly sealKey: SealKey | null
  /** Bytes from which on a body goes to the bucket, or `null`: never. */
  readonly spillBytes: number | null
}

/** How the origin is called. */
export interface CallPlan {
  readonly request: OriginRequest
  /** Whose retry budget pays for calls that are made again. */
  readonly tenant: string
  readonly bounds: CallBounds
  readonly rules: LandingRules
  readonly retry: RetryPolicy
  readonly retryBounds: RetryBounds
  readonly keeping: Keeping
}

/** One request of a route whose origin the object calls itself. */
export interface ExecuteCall {
  readonly claim: ClaimRequest
  readonly caller: Caller
  readonly plan: CallPlan
  /** Whether the request is kept with its claim, for a recovery without a client. */
  readonly isStored: boolean
}

/** An event on its way into the outbox. */
export interface Outgoing {
  readonly event: CloudEvent
  readonly to: Destination
}

/** How a Worker ends its claim. */
export interface SettleCall extends Pick<Landing, 'settlement' | 'end'> {
  readonly claim: ClaimRef
  readonly sealKey: SealKey | null
  /** What its handler has emitted: stored with a result, dropped without one. */
  readonly events: readonly Outgoing[]
}

/** A handler's answer that is still coming. */
export interface StreamCall extends AnswerHead {
  readonly claim: ClaimRef
  readonly rules: LandingRules
  readonly limitBytes: number
  readonly body: ReadableStream<Uint8Array>
  readonly keeping: Keeping
  readonly events: readonly Outgoing[]
}

/** Asks for an operation by its id, on behalf of a tenant. */
export interface OperationQuestion {
  readonly operationId: string
  readonly tenant: string
  /** How long to wait for its end, in milliseconds. */
  readonly waitMs: number
  /** The state that the client knows of: another one ends the wait as well. `null`: only the end does. */
  readonly knownState: string | null
}

/** A claim granted to a Worker, which makes the call itself: so it is no `Answer` yet. */
export interface Grant {
  readonly kind: 'granted'
  readonly claim: ClaimRef
  /** For how many milliseconds an earlier call has left the outcome open; `null` or absent where none has. */
  readonly doubtMs?: number | null
}

/**
 * What a Worker may ask of the object that guards an operation. Plain data both ways; a promise
 * rejects only when the object could not be reached or was reset.
 */
export interface OperationGuard {
  /** Runs the operation at the origin, or answers from what is known about it. */
  execute(call: ExecuteCall): Promise<Answer>
  /** Grants the operation to the Worker under a lease, or answers from what is known about it. */
  claim(claim: ClaimRequest, caller: Caller): Promise<Grant | Answer>
  /** Lengthens a lease. @returns `false` when no Worker holds this claim any more. */
  renew(claim: ClaimRef, leaseMs: number): Promise<boolean>
  /**
   * Ends the Worker's claim; refused when a newer claim exists, or none. Asked again, it is told that
   * it was taken.
   */
  settle(call: SettleCall): Promise<SettleResult>
  /** Tells its tenant what is known of an operation, after waiting for its end for so long at most. */
  inspect(question: OperationQuestion): Promise<OperationView | null>
  /** Answers its tenant with the result of an operation, or with why there is none. */
  result(question: OperationQuestion, caller: Caller): Promise<Answer | null>
  /**
   * Takes a Worker's claim over while its answer is still coming, records it and settles at its
   * end. @returns What the first client gets.
   */
  stream(call: StreamCall): Promise<WireResponse>
  /** Shows an operator what is known of an operation; whose it is, the caller has to care about. */
  examine(operationId: string): Promise<OperatorView | null>
  /** Does to an operation what an operator says. */
  operate(operationId: string, action: OperatorAction): Promise<OperatorResult>
  /**
   * Sets the object's alarm again, where something is due and the platform has given it up.
   *
   * @returns Whether an end of the operation is known, or none of it may have been executed.
   */
  rearm(operationId: string): Promise<'in-doubt' | 'over'>
}
