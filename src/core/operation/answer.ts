import type { OriginFault, Outcome } from '../outcome/outcome.ts'
import type { OperationView } from './operation-view.ts'
import type { Carrier, UnknownReason } from './record.ts'
import type { Recovery } from './recovery.ts'
import type { WireResponse } from './snapshot.ts'

/** Milliseconds that a request spent in the object, by what it did there. */
export interface Timing {
  /** In calls of the origin. */
  readonly originMs: number
  /** Waiting for the call of another request. */
  readonly waitedMs: number
}

/** What a request did at the origin itself. */
export interface Work {
  /** Calls made, retries included. */
  readonly originCalls: number
  /** `null` if it is not known yet: the response is still arriving, or the settle is tried again. */
  readonly settle: SettleResult | null
}

/** The result of a settle. `late`: the claim had been given up, but nobody had taken over. */
export type SettleResult = 'taken' | 'late' | 'refused'

/** For how many milliseconds the outcome has been unknown, if it is. */
type UnknownMs = number

/** For how many more milliseconds the operation is remembered, if it has ended. */
type RememberedMs = number

/** The response to a call, made by this request or by another. */
interface CallResult {
  readonly response: WireResponse
  /** `null` if only the end of the response tells it. */
  readonly outcome: Outcome | null
  readonly fence: number
  readonly timing: Timing
  readonly ageMs?: UnknownMs
  readonly rememberedMs?: RememberedMs
}

/**
 * What the object tells a Worker about one request: plain data for RPC, without the words and headers
 * of HTTP. `toVerdict` adds those.
 */
export type Answer =
  | (CallResult & { readonly kind: 'executed'; readonly work: Work })
  | (CallResult & {
      readonly kind: 'joined'
      /** Path at the origin that decides whether this caller may have it, or `null`. */
      readonly reauthorizePath: string | null
      /** Name of the origin that is asked; absent for the deployment's own. */
      readonly origin?: string
    })
  | {
      readonly kind: 'replayed'
      readonly operation: string
      readonly response: WireResponse
      readonly outcome: 'succeeded' | 'failed'
      readonly fence: number
      readonly reauthorizePath: string | null
      /** Name of the origin that is asked; absent for the deployment's own. */
      readonly origin?: string
      /** Milliseconds since the operation settled. */
      readonly ageMs: number
      readonly rememberedMs?: RememberedMs
    }
  /** The call ended without a response that can be passed on. */
  | {
      readonly kind: 'lost'
      readonly fault: OriginFault
      readonly outcome: Outcome
      /** Status, if headers were received. */
      readonly originStatus: number | null
      readonly fence: number
      readonly timing: Timing
      /** `null` if this request only waited for the call of another. */
      readonly work: Work | null
      readonly ageMs?: UnknownMs
    }
  | {
      readonly kind: 'mismatch'
      readonly fence: number
      /** Digests of the parts of the first request, as in its record. */
      readonly places: string
    }
  | {
      readonly kind: 'in_flight'
      readonly fence: number
      /** Milliseconds since the claim. */
      readonly runningMs: number
      /** The message that made the claim, if one did. */
      readonly carrier?: Carrier
      readonly timing: Timing
    }
  | {
      readonly kind: 'held'
      readonly fence: number
      readonly reason: UnknownReason
      /** What is done about it. */
      readonly policy: Recovery['kind']
      /** Epoch milliseconds before which the origin's word that nothing was executed does not count. */
      readonly until?: number | null
      readonly ageMs?: UnknownMs
    }
  | {
      readonly kind: 'expired'
      /** 0: nothing is known of the operation, and the request must not begin it. */
      readonly fence: number
      /** How it ended; `null` if that was forgotten. */
      readonly outcome: 'succeeded' | 'failed' | 'unknown' | null
      /** Whether the key was used for another request. */
      readonly isOther: boolean
    }
  | {
      readonly kind: 'too_large'
      /** Set if the origin asked not to keep it. Else it was over the limit. */
      readonly omittedFor?: 'no-store'
      /** `null` if it is not stored yet. */
      readonly outcome: 'succeeded' | 'failed' | null
      readonly fence: number
      readonly timing: Timing
      /** Status of the response that was not kept, if it is known. */
      readonly originStatus?: number
      readonly rememberedMs?: RememberedMs
    }
  /** The operation runs or will run, and the client asks for its result later. */
  | { readonly kind: 'accepted'; readonly fence: number; readonly view: OperationView }
  /** The origin does not let this caller have the result. The response is its own. */
  | { readonly kind: 'refused'; readonly response: WireResponse; readonly fence: number }
  /** The origin could not be asked whether this caller may have the result. */
  | { readonly kind: 'unasked'; readonly fence: number }
  /** The stored response is sealed, and the request cannot open it. */
  | {
      readonly kind: 'sealed'
      readonly fence: number
      readonly outcome: 'succeeded' | 'failed'
      readonly rememberedMs?: RememberedMs
    }
  /** The caller's deadline had passed before anything was claimed. */
  | { readonly kind: 'too_late' }
  /** Too many new operations of this tenant; nothing was claimed. */
  | { readonly kind: 'rate_limited' }
  /** The circuit to the origin is open; nothing was claimed. */
  | { readonly kind: 'circuit_open'; readonly retryAfterMs: number }
  /** The claim could not be stored; nothing was forwarded. */
  | { readonly kind: 'store_fault' }

export const NO_TIME: Timing = { originMs: 0, waitedMs: 0 }

/** How long an operation is remembered, if it has ended. */
export function ifEnded(
  { outcome }: { readonly outcome: Outcome | null },
  rememberedMs: number | undefined,
): { readonly rememberedMs?: RememberedMs } {
  const isEnded = outcome === 'succeeded' || outcome === 'failed'
  return isEnded && rememberedMs !== undefined ? { rememberedMs } : {}
}

/** How long an outcome has been unknown, if it still is. */
export function ifUnknown(
  { outcome }: { readonly outcome: Outcome | null },
  ageMs: number,
): { readonly ageMs?: UnknownMs } {
  return outcome === 'unknown' ? { ageMs } : {}
}
