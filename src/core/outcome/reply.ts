import type { HeaderField } from '../operation/snapshot.ts'
import type { SnapshotHeaderRules } from '../wire/headers.ts'
import type { OriginDirectives } from './origin-directives.ts'
import type { OutcomeRules, Said } from './outcome-rules.ts'
import type { OriginFault, Outcome, OutcomeDirective } from './outcome.ts'

/** An answer without its body. */
export interface AnswerHead {
  readonly status: number
  /** End-to-end fields, without those that only the gateway writes. */
  readonly headers: readonly HeaderField[]
  readonly directives: OriginDirectives
  /** What the route's rules say about it; absent until they were asked. */
  readonly said?: Said | null
  /** For how many milliseconds the origin asks for no other call. */
  readonly retryAfterMs?: number | null
}

/** A body that is read while it arrives. */
export interface LiveBody {
  /** @returns The next chunk, or `null` after the last one. @throws If the body breaks off. */
  next(): Promise<Uint8Array | null>
  /** Why it broke off. */
  faultOf(error: unknown): OriginFault
  /** Gives the rest up, so that its source can stop. `next` then ends in one way or the other. */
  cancel(): void
}

/**
 * What one call of the origin or of a handler returned. `decideLanding` and `decideProbe` decide what it
 * means for the operation.
 */
export type Reply =
  /** An answer. Its body is a stream only if it is over the limit. */
  | (AnswerHead & {
      readonly kind: 'answer'
      readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
      /** Whether a proxy before the origin made it. */
      readonly isFromProxy?: boolean
    })
  /** An answer whose body is still arriving. */
  | (AnswerHead & {
      readonly kind: 'live'
      readonly body: LiveBody
      /** Its length, if it was declared. */
      readonly declaredBytes: number | null
    })
  /** No complete answer that can be passed on. */
  | {
      readonly kind: 'fault'
      readonly fault: OriginFault
      /** Status, if headers were received before the rest was lost, or if it cannot be passed on. */
      readonly originStatus: number | null
      /** What those headers say about the operation. */
      readonly directive?: OutcomeDirective | null
    }

/** A reply of one of these kinds. */
export type ReplyOf<kind extends Reply['kind']> = Extract<Reply, { readonly kind: kind }>

/** A reply that is complete. */
export type EndedReply = ReplyOf<'answer' | 'fault'>

/** The end of a call for the duplicates that wait for it, in memory and with the body. */
export type FlightEnd =
  | {
      readonly kind: 'response'
      readonly outcome: Outcome
      readonly status: number
      readonly headers: readonly HeaderField[]
      readonly corsOrigin: string | null
      readonly body: Uint8Array<ArrayBuffer>
      /** How long it is remembered, if the origin says so. */
      readonly retentionMs?: number
    }
  /** It is not kept, because it is over the limit or because the origin asked for that. */
  | {
      readonly kind: 'too_large'
      readonly omittedFor?: 'no-store'
      readonly retentionMs?: number
    }
  /** It asked the first client for more input, or refused its session: only that client can act. */
  | { readonly kind: 'step' }
  | {
      readonly kind: 'fault'
      readonly fault: OriginFault
      readonly outcome: Outcome
      readonly originStatus: number | null
    }
  /** An answer that is still arriving: waiting requests read it from the start. */
  | {
      readonly kind: 'live'
      /** `null` if only the end of the answer tells it. */
      readonly outcome: Outcome | null
      readonly status: number
      readonly headers: readonly HeaderField[]
      readonly corsOrigin: string | null
      readonly bodyBytes: number | null
      readonly retentionMs?: number
      readonly open: () => ReadableStream<Uint8Array>
    }
  /** Nothing was learned: the outcome stays unknown. */
  | {
      readonly kind: 'undecided'
      /** Epoch milliseconds before which the origin's word that nothing was executed does not count. */
      readonly until?: number | null
    }

/** Names one of the policies that the routes of an operation have. */
export interface JudgeRef {
  readonly operation: string
  readonly index: number
}

/** The parts of a policy that decide what a reply means, and what is stored of it. */
export interface LandingRules {
  /** Without the functions of the policy, which cannot be sent or stored. */
  readonly outcomes: OutcomeRules | readonly OutcomeRules[]
  /** If the policy has functions: which policy it is. */
  readonly judgedBy?: JudgeRef
  /** JSON text of the id of the JSON-RPC call that was sent: its response tells the outcome. */
  readonly rpcId?: string
  readonly snapshot: SnapshotHeaderRules
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
}
