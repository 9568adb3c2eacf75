import type { FlightEnd } from '../core/landing.ts'
import type { Owner } from '../core/record.ts'

/** Most duplicates that wait for one call; each holds memory until it is answered. */
const MAX_WAITERS = 256

/** A call that runs, as this object's memory knows it. The record is the truth; this is for waiting. */
export class Flight {
  /** Names the claim that it runs for. */
  readonly claimId: string
  /** Whether this object makes the call; else a Worker does, and its lease says whether it lives. */
  readonly isOwn: boolean
  readonly #end = Promise.withResolvers<FlightEnd>()
  #waiterCount = 0

  constructor(claimId: string, { kind }: Owner) {
    this.claimId = claimId
    this.isOwn = kind === 'object'
  }

  /** Lets everybody go who waits. */
  land(end: FlightEnd): void {
    this.#end.resolve(end)
  }

  /** Lets everybody go who waits when another flight lands: the work goes on there. */
  follow(next: Flight): void {
    void next.#end.promise.then((end) => this.land(end))
  }

  /**
   * Waits for the end of the call, for so long at most.
   *
   * @returns `null` when the time ran out, or when too many wait already.
   */
  async wait(waitMs: number): Promise<FlightEnd | null> {
    if (waitMs <= 0 || this.#waiterCount >= MAX_WAITERS) return null
    this.#waiterCount += 1
    const timeUp = Promise.withResolvers<null>()
    const timer = setTimeout(() => timeUp.resolve(null), waitMs)
    try {
      return await Promise.race([this.#end.promise, timeUp.promise])
    } finally {
      clearTimeout(timer)
      this.#waiterCount -= 1
    }
  }
}
