import type { OriginFault, Outcome } from './outcome.ts'
import type { UnknownReason } from './record.ts'
import type { WireResponse } from './snapshot.ts'

/** Milliseconds that a request spent in the object, by what it did there. */
export interface Timing {
  /** In calls of the origin. */
  readonly originMs: number
  /** Waiting for the call of another request. */
  readonly waitedMs: number
}

/** What the object says about one request. Plain data: it crosses RPC. */
export type Answer =
  | {
      readonly kind: 'executed'
      readonly response: WireResponse
      readonly outcome: Outcome
      readonly fence: number
      readonly timing: Timing
    }
  | {
      readonly kind: 'joined'
      readonly response: WireResponse
      readonly outcome: Outcome
      readonly fence: number
      readonly timing: Timing
    }
  | {
      readonly kind: 'replayed'
      readonly response: WireResponse
      readonly outcome: 'succeeded' | 'failed'
      readonly fence: number
      /** Milliseconds since the operation settled. */
      readonly ageMs: number
    }
  /** The call ended without an answer of the origin. */
  | {
      readonly kind: 'lost'
      readonly fault: OriginFault
      readonly fence: number
      /** Whether this request only waited for the call of another. */
      readonly joined: boolean
      readonly timing: Timing
    }
  | { readonly kind: 'mismatch'; readonly fence: number }
  | {
      readonly kind: 'in_flight'
      readonly fence: number
      /** Milliseconds since the claim. */
      readonly runningMs: number
      readonly timing: Timing
    }
  | { readonly kind: 'held'; readonly fence: number; readonly reason: UnknownReason }
  | { readonly kind: 'expired'; readonly fence: number }
  | { readonly kind: 'too_large'; readonly fence: number; readonly timing: Timing }
  /** The claim could not be stored; nothing was forwarded. */
  | { readonly kind: 'store_fault' }

export const NO_TIME: Timing = { originMs: 0, waitedMs: 0 }
