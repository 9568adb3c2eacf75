import { type ClaimDecision, type ClaimRequest, decideClaim } from '../core/claim.ts'
import { decideAlarm, dueAt } from '../core/due.ts'
import type { FlightEnd } from '../core/landing.ts'
import type { ClaimRef, OperationRecord } from '../core/record.ts'
import { decideSettle, type Settlement } from '../core/settle.ts'
import { RecordStore } from './record-store.ts'

/** Most records that one alarm works through; where there are more it comes again at once. */
const ALARM_BATCH = 100

/**
 * The operations of one object and their alarm. Every method is one read-decide-write in one
 * transaction, with the alarm set behind it and nothing awaited in between.
 */
export class Ledger {
  readonly #storage: DurableObjectStorage
  readonly #store: RecordStore
  /** Whether this object's memory holds the running call of an operation. */
  readonly #isRunning: (operationId: string) => boolean

  constructor(storage: DurableObjectStorage, isRunning: (operationId: string) => boolean) {
    this.#storage = storage
    this.#store = new RecordStore(storage)
    this.#isRunning = isRunning
  }

  /** Decides the fate of a request; a granted claim is stored when this returns. */
  claim(request: ClaimRequest): ClaimDecision {
    const id = request.operationId
    const now = Date.now()
    return this.#change(now, () => {
      const facts = { now, isRunning: this.#isRunning(id) }
      const decision = decideClaim(this.#store.read(id), request, facts)
      if (decision.kind === 'execute' || decision.kind === 'held') {
        this.#store.write(id, decision.record, dueAt(decision.record, now))
        // The key may have had an earlier life, whose body is still there.
        this.#store.deleteBody(id)
      }
      return decision
    })
  }

  /** Lengthens a Worker's lease. @returns `false` when the claim has ended or a newer one exists. */
  renew({ operationId: id, claimId }: ClaimRef, leaseMs: number): boolean {
    const now = Date.now()
    return this.#change(now, () => {
      const record = this.#store.read(id)
      if (record?.state !== 'in_progress' || record.claimId !== claimId) return false
      const owner = { kind: 'worker', leaseUntil: now + leaseMs } as const
      const renewed = { ...record, owner }
      this.#store.write(id, renewed, dueAt(renewed, now))
      return true
    })
  }

  /**
   * Ends a claim, and stores the body where the outcome is one that is replayed.
   *
   * @returns `false` when it was refused: a newer claim exists, or none.
   */
  settle(claim: ClaimRef, settlement: Settlement, end: FlightEnd): boolean {
    const id = claim.operationId
    const now = Date.now()
    return this.#change(now, () => {
      const decision = decideSettle(this.#store.read(id), claim, settlement, now)
      switch (decision.kind) {
        case 'refuse':
          return false
        case 'release':
          this.#store.delete(id)
          return true
        case 'store':
          if ('snapshot' in decision.record && end.kind === 'response') {
            this.#store.writeBody(id, end.body)
          }
          this.#store.write(id, decision.record, dueAt(decision.record, now))
          return true
      }
    })
  }

  /** Does what is due: what has expired goes, what has lost its owner is marked. */
  tidy(): void {
    const now = Date.now()
    this.#change(now, () => {
      for (const { id, record } of this.#store.listDue(now, ALARM_BATCH)) {
        this.#tidyOne(id, record, now)
      }
    })
  }

  /** @returns One piece of a stored body, or `null` behind its end. */
  readBodyPart(operationId: string, part: number): Uint8Array<ArrayBuffer> | null {
    return this.#store.readBodyPart(operationId, part)
  }

  #tidyOne(id: string, record: OperationRecord, now: number): void {
    const decision = decideAlarm(record, { now, isRunning: this.#isRunning(id) })
    switch (decision.kind) {
      case 'keep':
        return this.#store.write(id, record, dueAt(record, now))
      case 'store':
        this.#store.deleteBody(id)
        return this.#store.write(id, decision.record, dueAt(decision.record, now))
      case 'forget':
        return this.#store.delete(id)
    }
  }

  /** One transaction, then the alarm for whatever is due next, or an empty storage given back. */
  #change<result>(now: number, work: () => result): result {
    const result = this.#store.transaction(work)
    const nextDueAt = this.#store.nextDueAt()
    // An alarm for this very millisecond, set inside an alarm, would be lost (workerd#6866).
    if (nextDueAt !== null) void this.#storage.setAlarm(Math.max(nextDueAt, now + 1))
    else if (this.#store.hasTables) void this.#store.deleteAll()
    return result
  }
}
