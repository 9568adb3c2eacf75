import { FIRST_LOOK_MS } from '../core/operation/due.ts'
import {
  type ClaimRef,
  type OperationRecord,
  type Owner,
  ownerOf,
  toRef,
} from '../core/operation/record.ts'
import type { FlightEnd } from '../core/outcome/reply.ts'
import { within } from '../platform/in-time.ts'

/** Most duplicates that wait for one call; each holds memory until it is answered. */
const MAX_WAITERS = 256

/** A call that runs, as this object's memory knows it. The record is the truth; this is for waiting. */
export class Flight {
  /** Names the claim that it runs for. */
  readonly claimId: string
  /** Whether this object makes the call; else a Worker does, and its lease says whether it lives. */
  readonly isOwn: boolean
  readonly #end = Promise.withResolvers<FlightEnd>()
  readonly #closed = Promise.withResolvers<void>()
  #waiterCount = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  /** @param onLong Called when it takes longer than usual. */
  constructor(claimId: string, { kind }: Owner, onLong: (() => void) | null) {
    this.claimId = claimId
    this.isOwn = kind === 'object'
    if (onLong !== null) this.#timer = setTimeout(onLong, FIRST_LOOK_MS)
  }

  /** Gives the end to all requests that wait, or that come later. Only the first end counts. */
  land(end: FlightEnd): void {
    this.#end.resolve(end)
  }

  /** Lands together with another flight, which continues the work. */
  follow(next: Flight): void {
    void next.#end.promise.then((end) => this.land(end))
    void next.#closed.promise.then(() => this.close())
  }

  /** Ends the flight: the record now contains its result. */
  close(): void {
    clearTimeout(this.#timer)
    this.#closed.resolve()
  }

  /** Whether no more may wait for the end of the call. */
  get isFull(): boolean {
    return this.#waiterCount >= MAX_WAITERS
  }

  /** Waits until the record contains the result of the call, for at most `waitMs`. */
  async done(waitMs: number): Promise<void> {
    await within(this.#closed.promise, waitMs)
  }

  /**
   * Waits for the end of the call, for at most `waitMs`.
   *
   * @returns `null` when the time ran out, or when too many wait already.
   */
  async wait(waitMs: number): Promise<FlightEnd | null> {
    if (waitMs <= 0 || this.isFull) return null
    this.#waiterCount += 1
    try {
      return await within(this.#end.promise, waitMs)
    } finally {
      this.#waiterCount -= 1
    }
  }
}

/**
 * The calls that run now, in this object's memory. After a restart there are none: a claim of the
 * object's own without its flight is an orphan.
 */
export class Flights {
  readonly #byOperation = new Map<string, Flight>()
  readonly #onLong: (operationId: string) => void

  /** @param onLong Called when a call of the object's own takes long. */
  constructor(onLong: (operationId: string) => void) {
    this.#onLong = onLong
  }

  /** Whether this object itself makes a call for the operation right now. */
  isRunning(operationId: string): boolean {
    return this.#byOperation.get(operationId)?.isOwn ?? false
  }

  /** The flight that duplicates of an operation wait for. */
  ofOperation(operationId: string): Flight | null {
    return this.#byOperation.get(operationId) ?? null
  }

  /** The same for a call that is known to run. After a restart a Worker's claim is still valid under its lease, and its settle lands this flight. */
  ofRunning(operationId: string, running: OperationRecord): Flight {
    const claim = toRef(operationId, running)
    return this.ofOperation(operationId) ?? this.takeOff(claim, ownerOf(running))
  }

  /** The flight of exactly this claim. A late owner finds none, so it cannot end the wait for another call. */
  of({ operationId, claimId }: ClaimRef): Flight | null {
    const flight = this.ofOperation(operationId)
    return flight?.claimId === claimId ? flight : null
  }

  /** Begins a flight. Requests that already wait for the operation now wait for this flight. */
  takeOff({ operationId, claimId }: ClaimRef, owner: Owner): Flight {
    const onLong = owner.kind === 'object' ? () => this.#onLong(operationId) : null
    const flight = new Flight(claimId, owner, onLong)
    this.ofOperation(operationId)?.follow(flight)
    this.#byOperation.set(operationId, flight)
    return flight
  }

  remove(claim: ClaimRef): void {
    const flight = this.of(claim)
    if (flight === null) return
    this.#byOperation.delete(claim.operationId)
    flight.close()
  }
}
