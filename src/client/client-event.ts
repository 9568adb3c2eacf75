/** What happened during a call. It holds no key, no body and no credential. */
export type ClientEvent = Occasion &
  (
    | { readonly type: 'try' }
    | {
        readonly type: 'answer'
        readonly status: number
        /** `Hapax-Error` of the answer, or `null`. */
        readonly problem: string | null
        /** `X-Correlation-Id` of the answer, or `null`. */
        readonly correlationId: string | null
      }
    /** The try had no answer. After `aborted`, nothing follows. */
    | { readonly type: 'lost'; readonly reason: 'network' | 'timeout' | 'aborted' }
    | {
        readonly type: 'retry'
        readonly delayMs: number
        /** That of `lost`, else the problem or the status of the answer. */
        readonly reason: string
      }
    /** Another try would be due. */
    | { readonly type: 'give-up'; readonly reason: 'attempts' | 'deadline' | 'budget' }
  )

/** Which try of which call an event is about. */
export interface Occasion {
  /** Number of the call of this function, from 1. All events of one call have the same. */
  readonly call: number
  readonly method: string
  /** Origin of the URL. The rest of it could contain a key. */
  readonly origin: string
  /** Number of the try, as in `Idempotency-Attempt`. */
  readonly attempt: number
}
