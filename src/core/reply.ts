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

/**
 * What one call of the origin or of a handler came back with. It says nothing of the operation yet:
 * that is decided (`decideLanding`, `decideProbe`).
 */
export type Reply =
  /** An answer, its body whole or a stream where it is over the limit. */
  | (AnswerHead & {
      readonly kind: 'answer'
      readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
      /** Whether a proxy on the way to the origin has made it. */
      readonly isFromProxy?: boolean
    })
  /** An answer whose body is still to come. */
  | (AnswerHead & {
      readonly kind: 'live'
      readonly body: LiveBody
      /** Its length, where it was declared. */
      readonly declaredBytes: number | null
    })
  /** No answer that could be passed on as a whole. */
  | {
      readonly kind: 'fault'
      readonly fault: OriginFault
      /** Status, where headers came before the rest was lost, or it is what cannot be passed on. */
      readonly originStatus: number | null
      /** What those headers say of the operation. */
      readonly directive?: OutcomeDirective | null
    }

/** A reply of one of these kinds. */
export type ReplyOf<kind extends Reply['kind']> = Extract<Reply, { readonly kind: kind }>

/** A reply that has come to its end. */
export type EndedReply = ReplyOf<'answer' | 'fault'>

/**
 * What a call leaves to the duplicates that wait for it, in memory and with the body: the record, which
 * outlives the call, gets a `Settlement`.
 */
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
  /** An answer that is still coming: whoever waits joins it from its beginning. */
  | {
      readonly kind: 'live'
      /** `null` where only the end of the answer tells it. */
      readonly outcome: Outcome | null
      readonly status: number
      readonly headers: readonly HeaderField[]
      readonly corsOrigin: string | null
      readonly bodyBytes: number | null
      readonly retentionMs?: number
      readonly open: () => ReadableStream<Uint8Array>
    }
  /** Nothing is known of its outcome: the record says as before that it is unknown. */
  | {
      readonly kind: 'undecided'
      /** Epoch milliseconds before which the origin's word that nothing was executed does not count. */
      readonly until?: number | null
    }

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
