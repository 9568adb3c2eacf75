import type { SettleResult } from '../core/answer.ts'
import { concat } from '../core/body.ts'
import {
  claimAgain,
  type ClaimDecision,
  type ClaimRequest,
  decideClaim,
  type NextClaim,
} from '../core/claim.ts'
import { decideAlarm, dueAt } from '../core/due.ts'
import type { FlightEnd } from '../core/landing.ts'
import type { Outcome } from '../core/outcome.ts'
import type { ClaimRef, InProgressRecord, OperationRecord, UnknownRecord } from '../core/record.ts'
import {
  decideSettle,
  type Evidence,
  isOpen,
  noteAttempt,
  type Settlement,
} from '../core/settle.ts'
import { RecordStore } from './record-store.ts'

/** Most records that one alarm works through; where there are more it comes again at once. */
const ALARM_BATCH = 100

/** An operation that the alarm is to recover. */
export interface Recoverable {
  readonly id: string
  readonly record: UnknownRecord
}

/**
 * The operations of one object and their alarm. Every method is one read-decide-write in one
 * transaction, with the alarm set behind it and nothing awaited in between.
 */
export class Ledger {
  readonly #storage: DurableObjectStorage
  readonly #store: RecordStore
  /** Whether this object's memory holds the running call of an operation. */
  readonly #isRunning: (operationId: string) => boolean
  /** The alarm that this instance has set, in epoch milliseconds. */
  #alarmAt: number | null = null

  constructor(storage: DurableObjectStorage, isRunning: (operationId: string) => boolean) {
    this.#storage = storage
    this.#store = new RecordStore(storage)
    this.#isRunning = isRunning
  }

  /** Tells the fate of a request, as it is now, and stores nothing. */
  look(request: ClaimRequest): ClaimDecision {
    return this.#decide(request, Date.now())
  }

  /**
   * Decides the fate of a request; a granted claim is stored when this returns.
   *
   * @param stored The request, where the route keeps it for a recovery without a client.
   */
  claim(request: ClaimRequest, stored: Uint8Array | null): ClaimDecision {
    const id = request.operationId
    const now = Date.now()
    return this.#change(now, () => {
      const decision = this.#decide(request, now)
      if (!('record' in decision)) return decision
      this.#write(id, decision.record, now)
      if (decision.kind === 'execute') {
        // The key may have had an earlier life, whose bodies are still there.
        this.#store.deleteBody(id, 'response')
        this.#store.deleteBody(id, 'request')
        if (stored !== null) this.#store.writeBody(id, 'request', stored)
      }
      return decision
    })
  }

  /**
   * Notes that a call has ended and that another one will follow.
   *
   * @returns `false` when the claim is no longer the last one.
   */
  note(claim: ClaimRef, end: { outcome: Outcome; evidence: Evidence }): boolean {
    const now = Date.now()
    return this.#change(now, () => {
      const noted = noteAttempt(this.#store.read(claim.operationId), claim, end, now)
      if (noted !== null) this.#write(claim.operationId, noted, now)
      return noted !== null
    })
  }

  /**
   * Makes the next claim of an operation by the one who holds the last, or by the alarm.
   *
   * @returns `null` when the claim is no longer the last one.
   */
  claimAgain(claim: ClaimRef, next: NextClaim): InProgressRecord | null {
    const now = Date.now()
    return this.#change(now, () => {
      const record = this.#store.read(claim.operationId)
      if (!isOpen(record, claim)) return null
      const claimed = claimAgain(record, next, now)
      this.#write(claim.operationId, claimed, now)
      return claimed
    })
  }

  /** Lengthens a Worker's lease. @returns `false` when the claim has ended or a newer one exists. */
  renew(claim: ClaimRef, leaseMs: number): boolean {
    const now = Date.now()
    return this.#change(now, () => {
      const record = this.#store.read(claim.operationId)
      if (!isOpen(record, claim) || record.state !== 'in_progress') return false
      const owner = { kind: 'worker', leaseUntil: now + leaseMs } as const
      this.#write(claim.operationId, { ...record, owner }, now)
      return true
    })
  }

  /** Ends a claim, and stores the body where the outcome is one that is replayed. */
  settle(claim: ClaimRef, settlement: Settlement, end: FlightEnd): SettleResult {
    const id = claim.operationId
    const now = Date.now()
    return this.#change(now, () => {
      const decision = decideSettle(this.#store.read(id), claim, settlement, now)
      if (decision.kind === 'refuse') return 'refused'
      if (decision.kind === 'release') this.#store.delete(id)
      else this.#writeSettled(id, decision.record, end, now)
      return decision.isLate ? 'late' : 'taken'
    })
  }

  /** Does what is due: what has expired goes, what has lost its owner is marked. @returns What is to be recovered. */
  tidy(): Recoverable[] {
    const now = Date.now()
    // The alarm that has come is not set any more.
    this.#alarmAt = null
    return this.#change(now, () =>
      this.#store
        .listDue(now, ALARM_BATCH)
        .flatMap(({ id, record }) => this.#tidyOne(id, record, now) ?? []),
    )
  }

  /** @returns One piece of a snapshot's body, or `null` behind its end. */
  readBodyPart(operationId: string, part: number): Uint8Array<ArrayBuffer> | null {
    return this.#store.readBodyPart(operationId, 'response', part)
  }

  /** @returns The stored request, or `null` when there is none. */
  readStoredRequest(operationId: string): Uint8Array<ArrayBuffer> | null {
    const parts: Uint8Array<ArrayBuffer>[] = []
    for (let part = 0; ; part++) {
      const piece = this.#store.readBodyPart(operationId, 'request', part)
      if (piece === null) break
      parts.push(piece)
    }
    return parts.length === 0 ? null : concat(parts)
  }

  #decide(request: ClaimRequest, now: number): ClaimDecision {
    const id = request.operationId
    return decideClaim(this.#store.read(id), request, { now, isRunning: this.#isRunning(id) })
  }

  #tidyOne(id: string, record: OperationRecord, now: number): Recoverable | null {
    const decision = decideAlarm(record, { now, isRunning: this.#isRunning(id) })
    switch (decision.kind) {
      case 'keep':
        this.#write(id, record, now)
        return null
      case 'store':
        if (decision.record.state === 'expired') this.#store.deleteBody(id, 'response')
        if (decision.record.state === 'expired') this.#store.deleteBody(id, 'request')
        this.#write(id, decision.record, now)
        return null
      case 'recover':
        this.#write(id, decision.record, now)
        return { id, record: decision.record }
      case 'forget':
        this.#store.delete(id)
        return null
    }
  }

  #writeSettled(
    id: string,
    record: Extract<OperationRecord, { settledAt: number }>,
    end: FlightEnd,
    now: number,
  ): void {
    this.#write(id, record, now)
    if (record.state === 'unknown') return
    this.#store.deleteBody(id, 'request')
    if (end.kind === 'response') this.#store.writeBody(id, 'response', end.body)
  }

  #write(id: string, record: OperationRecord, now: number): void {
    this.#store.write(id, record, dueAt(record, now))
  }

  /** One transaction, then the alarm for whatever is due next, or an empty storage given back. */
  #change<result>(now: number, work: () => result): result {
    const result = this.#store.transaction(work)
    const { count, dueAt: nextDueAt } = this.#store.summary()
    // An alarm for this very millisecond, set inside an alarm, would be lost (workerd#6866).
    if (nextDueAt !== null) this.#setAlarm(Math.max(nextDueAt, now + 1))
    else if (count === 0 && this.#store.hasTables) this.#deleteAll()
    else this.#deleteAlarm()
    return result
  }

  /** Each setting is billed as a row, so the same time is not set twice. */
  #setAlarm(at: number): void {
    if (this.#alarmAt === at) return
    this.#alarmAt = at
    void this.#storage.setAlarm(at)
  }

  /** Whatever is stored waits for a request, not for a time. */
  #deleteAlarm(): void {
    if (this.#alarmAt === null) return
    this.#alarmAt = null
    void this.#storage.deleteAlarm()
  }

  #deleteAll(): void {
    this.#alarmAt = null
    void this.#store.deleteAll()
  }
}
