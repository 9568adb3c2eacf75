import type { ClaimRef, Owner } from '../core/record.ts'
import { Flight } from './flight.ts'

/**
 * The calls that run now, in this object's memory. After a restart there are none: a claim of the
 * object's own without its flight is an orphan.
 */
export class Flights {
  readonly #byOperation = new Map<string, Flight>()

  /** Whether this object itself makes a call for the operation right now. */
  isRunning(operationId: string): boolean {
    return this.#byOperation.get(operationId)?.isOwn ?? false
  }

  /** The flight that duplicates of an operation wait for. */
  ofOperation(operationId: string): Flight | null {
    return this.#byOperation.get(operationId) ?? null
  }

  /** The flight of this very claim; a late owner finds none, so it ends nobody else's waiting. */
  of({ operationId, claimId }: ClaimRef): Flight | null {
    const flight = this.ofOperation(operationId)
    return flight?.claimId === claimId ? flight : null
  }

  /** Begins a flight. Who waits for the operation already waits for this one from now on. */
  takeOff({ operationId, claimId }: ClaimRef, owner: Owner): Flight {
    const flight = new Flight(claimId, owner)
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
