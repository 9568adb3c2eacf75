import type { SnapshotHeaderRules } from './headers.ts'
import type { OriginDirectives } from './origin-directives.ts'
import type { OutcomeRules, Said } from './outcome-rules.ts'
import type { OriginFault, Outcome, OutcomeDirective } from './outcome.ts'
import type { HeaderField } from './snapshot.ts'

/** What an answer says before its body. */
export interface AnswerHead {
  readonly status: number
  /** End-to-end fields, without those that only the gateway writes. */
  readonly headers: readonly HeaderField[]
  readonly directives: OriginDirectives
  /** What the route says of it, its body read where that is needed; absent until it was asked. */
  readonly said?: Said | null
  /** How long the origin asks to be left alone before another try, in milliseconds. */
  readonly retryAfterMs?: number | null
}

/** A body that is read as it comes. */
export interface LiveBody {
  /** @returns The next chunk, or `null` behind the last one. @throws When the body breaks off. */
  next(): Promise<Uint8Array | null>
  /** Why it broke off. */
  faultOf(error: unknown): OriginFault
  /** Gives the rest up, so that whoever makes it need not go on; `next` then comes to an end, one way or the other. */
  cancel(): void
}

/** Why there is no whole answer that could be passed on. */
export interface Silence {
  readonly kind: 'fault'
  readonly fault: OriginFault
  /** Status, where headers came before the rest was lost, or it is what cannot be passed on. */
  readonly originStatus: number | null
  /** What those headers say of the operation. */
  readonly directive?: OutcomeDirective | null
}

/** An answer whose body is still to come. */
export interface LiveReply extends AnswerHead {
  readonly kind: 'live'
  readonly body: LiveBody
  /** Its length, where it was declared. */
  readonly declaredBytes: number | null
}

/** What a call came back with: an answer, its body whole or a stream where it is over the limit. */
export type Reply =
  | (AnswerHead & {
      readonly kind: 'answer'
      readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
      /** Whether a proxy on the way to the origin has made it. */
      readonly isFromProxy?: boolean
    })
  | Silence

/** The origin was asked what became of an operation, and could not tell. */
export interface Undecided {
  readonly kind: 'undecided'
  /** Epoch milliseconds before which its word that nothing was executed does not count. */
  readonly until?: number | null
}

/** What a call that has ended leaves to the duplicates that waited for it. */
export type FlightEnd =
  | {
      readonly kind: 'response'
      readonly outcome: Outcome
      readonly status: number
      readonly headers: readonly HeaderField[]
      readonly corsOrigin: string | null
      readonly body: Uint8Array<ArrayBuffer>
      /** How long the origin wants it remembered, where it says so. */
      readonly retentionMs?: number
    }
  /** It is not kept: over the limit, unless the origin asked for that. */
  | {
      readonly kind: 'too_large'
      readonly omittedFor?: 'no-store'
      readonly retentionMs?: number
    }
  /** It has asked the first client for more, or refused its session: only that one can act upon it. */
  | { readonly kind: 'step' }
  | {
      readonly kind: 'fault'
      readonly fault: OriginFault
      readonly outcome: Outcome
      readonly originStatus: number | null
    }
  | Undecided

/** Finds a policy again: one of those that the routes of this operation have. */
export interface JudgeRef {
  readonly operation: string
  readonly index: number
}

/** What of the policy decides what a reply means, and what is kept of it. */
export interface LandingRules {
  /** Without the functions of the policy, which cannot leave the Worker that runs them. */
  readonly outcomes: OutcomeRules | readonly OutcomeRules[]
  /** Where there are functions: which policy of the deployment has them. */
  readonly judgedBy?: JudgeRef
  /** JSON text of the id of the JSON-RPC call that was sent: its response is what tells the outcome. */
  readonly rpcId?: string
  readonly snapshot: SnapshotHeaderRules
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
}
