import { isUnexecuted } from '../../src/core/operation/attempts.ts'
import {
  claimAgain,
  type ClaimDecision,
  type ClaimRequest,
  claimResolved,
  decideClaim,
  type NextClaim,
  toOwner,
} from '../../src/core/operation/claim.ts'
import { decideAlarm, dueAt } from '../../src/core/operation/due.ts'
import { decideAdoption, decideRenewal } from '../../src/core/operation/lease.ts'
import {
  type ClaimRef,
  type OperationRecord,
  type Owner,
  ownerOf,
  toRef,
  type UnknownRecord,
} from '../../src/core/operation/record.ts'
import type { ClaimFacts } from '../../src/core/operation/retention.ts'
import {
  decideSettle,
  isOpen,
  noteAttempt,
  type SettleDecision,
  type Settlement,
} from '../../src/core/operation/settle.ts'
import type { Landing } from '../../src/core/outcome/landing.ts'

interface Row {
  readonly record: OperationRecord
  readonly dueAt: number | null
}

/** What a settle has come to. */
type SettleKind = SettleDecision['kind']

/** An operation that the alarm is to recover. */
export interface Recoverable {
  readonly id: string
  readonly record: UnknownRecord
}

/** `src/object/ledger.ts` over a map: what a crash leaves. The decisions are the real ones. */
export class MemoryLedger {
  readonly #rows = new Map<string, string>()
  readonly #bodies = new Map<string, Uint8Array>()
  readonly #stored = new Set<string>()

  read(id: string): OperationRecord | null {
    return this.#readRow(id)?.record ?? null
  }

  readBody(id: string): Uint8Array | null {
    return this.#bodies.get(id) ?? null
  }

  hasStoredRequest(id: string): boolean {
    return this.#stored.has(id)
  }

  nextDueAt(): number | null {
    const dues = [...this.#rows.keys()].map((id) => this.#readRow(id)?.dueAt ?? Infinity)
    const next = Math.min(...dues)
    return next === Infinity ? null : next
  }

  claim(request: ClaimRequest, isStored: boolean, facts: ClaimFacts): ClaimDecision {
    const id = request.operationId
    const known = this.read(id)
    const decision = decideClaim(known, request, facts)
    if (!('record' in decision)) return decision
    if (isSameClaim(decision.record, known)) return decision
    this.#write(id, decision.record, facts.now)
    if (decision.kind === 'execute') {
      this.#deleteBodies(id)
      if (isStored) this.#stored.add(id)
    }
    if (decision.kind === 'hold') this.#dropHeldRequest(id, decision.record, facts.now)
    return decision
  }

  note(claim: ClaimRef, { outcome, settlement }: Landing, now: number): boolean {
    const end = { outcome, evidence: settlement.evidence }
    const noted = noteAttempt(this.read(claim.operationId), claim, end, now)
    if (noted !== null) this.#write(claim.operationId, noted, now)
    return noted !== null
  }

  claimResolved(
    { operationId: id, ...known }: ClaimRef,
    request: ClaimRequest,
    isStored: boolean,
    now: number,
  ): ClaimRef | null {
    const record = this.read(id)
    if (!isOpen(record, { operationId: id, ...known })) return null
    const claimed = claimResolved(record, request, now)
    this.#write(id, claimed, now)
    this.#stored.delete(id)
    if (isStored) this.#stored.add(id)
    return toRef(id, claimed)
  }

  claimAgain(claim: ClaimRef, next: NextClaim, now: number): ClaimRef | null {
    const id = claim.operationId
    const record = this.read(id)
    if (!isOpen(record, claim)) return null
    const claimed = claimAgain(record, next, now)
    this.#write(id, claimed, now)
    return toRef(id, claimed)
  }

  renew(claim: ClaimRef, leaseMs: number, now: number): boolean {
    const id = claim.operationId
    const renewed = decideRenewal(this.read(id), claim, now + leaseMs)
    if (renewed !== null) this.#write(id, renewed, now)
    return renewed !== null
  }

  adopt(claim: ClaimRef, claimId: string, now: number): ClaimRef | null {
    const id = claim.operationId
    const adopted = decideAdoption(this.read(id), claim, claimId)
    if (adopted === null) return null
    this.#write(id, adopted, now)
    return toRef(id, adopted)
  }

  settle(claim: ClaimRef, settlement: Settlement, end: Landing['end'], now: number): SettleKind {
    const id = claim.operationId
    const decision = decideSettle(this.read(id), claim, settlement, now)
    if (decision.kind === 'release') this.#delete(id)
    if (decision.kind === 'store') {
      this.#write(id, decision.record, now)
      const { state } = decision.record
      if (state === 'succeeded' || state === 'failed') this.#keepResult(id, end)
      if (decision.record.state === 'unknown') this.#dropHeldRequest(id, decision.record, now)
    }
    return decision.kind
  }

  /** @param dueBy Later than `now` for an alarm that comes too early. */
  tidy(now: number, dueBy: number, isRunning: (id: string) => boolean): Recoverable[] {
    return [...this.#rows.keys()].flatMap((id) => {
      const row = this.#readRow(id)
      if (row === null || row.dueAt === null || row.dueAt > dueBy) return []
      return this.#tidyOne(id, row.record, now, isRunning(id)) ?? []
    })
  }

  #tidyOne(
    id: string,
    record: OperationRecord,
    now: number,
    isRunning: boolean,
  ): Recoverable | null {
    const decision = decideAlarm(record, { now, isRunning, isBeingRead: false })
    switch (decision.kind) {
      case 'keep':
        this.#write(id, record, now)
        return null
      case 'store':
        this.#write(id, decision.record, now)
        if (decision.record.state === 'expired') this.#deleteBodies(id)
        else this.#dropHeldRequest(id, decision.record, now)
        return null
      case 'recover':
        this.#write(id, decision.record, now)
        return { id, record: decision.record }
      case 'forget':
        this.#delete(id)
        return null
    }
  }

  #dropHeldRequest(id: string, record: UnknownRecord, now: number): void {
    const isHeld = record.recovery.kind === 'hold' && !isUnexecuted(record)
    if (!isHeld) return
    this.#stored.delete(id)
    this.#write(id, { ...record, recovery: { kind: 'hold' } }, now)
  }

  #keepResult(id: string, end: Landing['end']): void {
    this.#stored.delete(id)
    if (end.kind !== 'response') return
    if (this.#bodies.has(id)) throw new Error('The primary key of the body is taken.')
    this.#bodies.set(id, end.body)
  }

  #readRow(id: string): Row | null {
    const row = this.#rows.get(id)
    return row === undefined ? null : (JSON.parse(row) as Row)
  }

  #write(id: string, record: OperationRecord, now: number): void {
    const row: Row = { record, dueAt: dueAt(record, now) }
    this.#rows.set(id, JSON.stringify(row))
  }

  #delete(id: string): void {
    this.#rows.delete(id)
    this.#deleteBodies(id)
  }

  #deleteBodies(id: string): void {
    this.#bodies.delete(id)
    this.#stored.delete(id)
  }
}

/** Told of the end of the call that it waits for. */
type Waiter = (end: Landing['end']) => void

/** `src/object/flight.ts` without a clock: who waits, waits until the call ends or the object goes. */
/** Whether a claim was granted before and its answer was lost on the way. */
function isSameClaim(record: OperationRecord, known: OperationRecord | null): boolean {
  const isGranted = record.state === 'in_progress' && known?.state === 'in_progress'
  return isGranted && record.fence === known.fence && record.claimId === known.claimId
}

class Flight {
  readonly claimId: string
  readonly isOwn: boolean
  #waiters: Waiter[] = []
  #end: Landing['end'] | null = null

  constructor(claimId: string, { kind }: Owner) {
    this.claimId = claimId
    this.isOwn = kind === 'object'
  }

  land(end: Landing['end']): void {
    if (this.#end !== null) return
    this.#end = end
    for (const waiter of this.#waiters) waiter(end)
  }

  follow(next: Flight): void {
    next.wait((end) => this.land(end))
  }

  wait(waiter: Waiter): void {
    if (this.#end === null) this.#waiters.push(waiter)
    else waiter(this.#end)
  }
}

/** `src/object/{idempotency-object,runs,flights}.ts` over a ledger: what a crash takes away. */
export class MemoryObject {
  readonly #ledger: MemoryLedger
  readonly #flights = new Map<string, Flight>()
  /** Settles that the storage did not take, to be tried again. */
  #unstored: ((now: number) => void)[] = []

  constructor(ledger: MemoryLedger) {
    this.#ledger = ledger
  }

  claim(request: ClaimRequest, isStored: boolean, now: number): ClaimDecision {
    const id = request.operationId
    const facts = { now, isRunning: this.#isRunning(id), isBeingRead: false }
    const decision = this.#ledger.claim(request, isStored, facts)
    if (decision.kind === 'execute') this.takeOff(toRef(id, decision.record), decision.record.owner)
    return decision
  }

  /** Begins a flight to ask the origin about a claim, unless one is under way for it. */
  resolve(known: ClaimRef): void {
    if (!this.#flightOf(known)?.isOwn) this.takeOff(known, { kind: 'object' })
  }

  /** Begins a flight; who waits for the operation already waits for this one from now on. */
  takeOff({ operationId, claimId }: ClaimRef, owner: Owner): Flight {
    const flight = new Flight(claimId, owner)
    this.#flights.get(operationId)?.follow(flight)
    this.#flights.set(operationId, flight)
    return flight
  }

  join(id: string, running: OperationRecord, waiter: Waiter): void {
    const flight = this.#flights.get(id) ?? this.takeOff(toRef(id, running), ownerOf(running))
    flight.wait(waiter)
  }

  note(claim: ClaimRef, landing: Landing, now: number): boolean {
    return this.#ledger.note(claim, landing, now)
  }

  /** The next call of a run, under its own claim. */
  retry(claim: ClaimRef, now: number): ClaimRef | null {
    const { claimId } = claim
    const next = { claimId, owner: { kind: 'object' }, isResolved: false } as const
    return this.#ledger.claimAgain(claim, next, now)
  }

  /** The next claim of an operation that was unknown, for the request that has asked about it. */
  claimResolved(known: ClaimRef, request: ClaimRequest, isStored: boolean, now: number) {
    const claim = this.#ledger.claimResolved(known, request, isStored, now)
    if (claim === null) this.giveUp(known)
    else this.takeOff(claim, toOwner(request, now))
    return claim
  }

  /** The next claim of an operation that was unknown, by the alarm. */
  claimAgain(known: ClaimRef, next: NextClaim, now: number): ClaimRef | null {
    const claim = this.#ledger.claimAgain(known, next, now)
    if (claim === null) this.giveUp(known)
    else this.takeOff(claim, next.owner)
    return claim
  }

  renew(claim: ClaimRef, leaseMs: number, now: number): boolean {
    return this.#ledger.renew(claim, leaseMs, now)
  }

  /** Goes on with a Worker's call; whoever waits for it waits for that from now on. */
  adopt(claim: ClaimRef, claimId: string, now: number): ClaimRef | null {
    const adopted = this.#ledger.adopt(claim, claimId, now)
    if (adopted !== null) this.takeOff(adopted, { kind: 'object' })
    return adopted
  }

  /** @returns What the settle came to, or `null` when the storage failed. */
  land(
    claim: ClaimRef,
    { settlement, end }: Pick<Landing, 'settlement' | 'end'>,
    storage: Storage,
  ): SettleKind | null {
    const flight = this.#flightOf(claim)
    const settle = (now: number) => {
      const kind = this.#ledger.settle(claim, settlement, end, now)
      this.#remove(claim)
      flight?.land(kind === 'refuse' ? { kind: 'undecided' } : end)
      return kind
    }
    if (!storage.fails) return settle(storage.now)
    flight?.land(end)
    this.#unstored.push((now) => storage.onStored(settle(now)))
    return null
  }

  settleUnstored(now: number): void {
    for (const settle of this.#unstored) settle(now)
    this.#unstored = []
  }

  giveUp(claim: ClaimRef): void {
    const flight = this.#flightOf(claim)
    this.#remove(claim)
    flight?.land({ kind: 'undecided' })
  }

  alarm(now: number, dueBy: number): Recoverable[] {
    const due = this.#ledger.tidy(now, dueBy, (id) => this.#isRunning(id))
    // Before anything is awaited: from now on a request joins, and does not recover it as well.
    for (const { id, record } of due) this.takeOff(toRef(id, record), { kind: 'object' })
    return due
  }

  #isRunning(id: string): boolean {
    return this.#flights.get(id)?.isOwn ?? false
  }

  #flightOf({ operationId, claimId }: ClaimRef): Flight | null {
    const flight = this.#flights.get(operationId)
    return flight?.claimId === claimId ? flight : null
  }

  #remove(claim: ClaimRef): void {
    if (this.#flightOf(claim) !== null) this.#flights.delete(claim.operationId)
  }
}

/** The storage as one settle meets it. */
interface Storage {
  readonly now: number
  readonly fails: boolean
  /** Called when a later try was stored. */
  readonly onStored: (kind: SettleKind) => void
}
