import type { Outcome } from '../core/outcome.ts'
import type { Owner } from '../core/record.ts'
import type { FlightEnd } from '../core/reply.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { within } from '../platform/in-time.ts'

/** Most duplicates that wait for one call; each holds memory until it is answered. */
const MAX_WAITERS = 256

/** An answer that is still coming: whoever waits joins it from its beginning. */
export interface LiveEnd {
  readonly kind: 'live'
  /** `null` where only the end of the answer tells it. */
  readonly outcome: Outcome | null
  readonly status: number
  readonly headers: readonly HeaderField[]
  readonly corsOrigin: string | null
  readonly bodyBytes: number | null
  /** How long the origin wants it remembered, where it says so. */
  readonly retentionMs?: number
  readonly open: () => ReadableStream<Uint8Array>
}

/** A call that runs, as this object's memory knows it. The record is the truth; this is for waiting. */
export class Flight {
  /** Names the claim that it runs for. */
  readonly claimId: string
  /** Whether this object makes the call; else a Worker does, and its lease says whether it lives. */
  readonly isOwn: boolean
  readonly #end = Promise.withResolvers<FlightEnd | LiveEnd>()
  readonly #closed = Promise.withResolvers<void>()
  #waiterCount = 0

  constructor(claimId: string, { kind }: Owner) {
    this.claimId = claimId
    this.isOwn = kind === 'object'
  }

  /** Lets everybody go who waits, and who comes later while the flight is there. Only the first end counts. */
  land(end: FlightEnd | LiveEnd): void {
    this.#end.resolve(end)
  }

  /** Lets everybody go who waits when another flight lands: the work goes on there. */
  follow(next: Flight): void {
    void next.#end.promise.then((end) => this.land(end))
    void next.#closed.promise.then(() => this.close())
  }

  /** Ends the flight: the record says what became of it. */
  close(): void {
    this.#closed.resolve()
  }

  /** Whether no more may wait for the end of the call. */
  get isFull(): boolean {
    return this.#waiterCount >= MAX_WAITERS
  }

  /** Waits until the record says what became of the call, for so long at most. */
  async done(waitMs: number): Promise<void> {
    await within(this.#closed.promise, waitMs)
  }

  /**
   * Waits for the end of the call, for so long at most.
   *
   * @returns `null` when the time ran out, or when too many wait already.
   */
  async wait(waitMs: number): Promise<FlightEnd | LiveEnd | null> {
    if (waitMs <= 0 || this.isFull) return null
    this.#waiterCount += 1
    try {
      return await within(this.#end.promise, waitMs)
    } finally {
      this.#waiterCount -= 1
    }
  }
}
