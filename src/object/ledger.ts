import type { SettleResult } from '../core/operation/answer.ts'
import { type CallEnd, isUnexecuted } from '../core/operation/attempts.ts'
import {
  asOf,
  claimAgain,
  type ClaimDecision,
  type ClaimRequest,
  claimResolved,
  decideClaim,
  type Granted,
  type NextClaim,
  postpone,
  toGranted,
} from '../core/operation/claim.ts'
import { decideAlarm } from '../core/operation/due.ts'
import {
  decideHandOver,
  type HandOver,
  type HandOverQuestion,
} from '../core/operation/hand-over.ts'
import { decideAdoption, decideRenewal } from '../core/operation/lease.ts'
import type {
  ClaimRef,
  InProgressRecord,
  OperationRecord,
  SettledRecord,
  UnknownRecord,
} from '../core/operation/record.ts'
import { toUnstored } from '../core/operation/recovery.ts'
import type { ClaimFacts } from '../core/operation/retention.ts'
import { decideSettle, isOpen, noteAttempt, type Settlement } from '../core/operation/settle.ts'
import { logFault } from '../metrics/log.ts'
import { asDeployed } from './as-deployed.ts'
import { Bodies } from './bodies.ts'
import { EventLanes } from './event-lanes.ts'
import { EventTable, type NewEvent, type PendingEvent } from './event-table.ts'
import type { UnstoredBody } from './pieces.ts'
import { RecordBuckets } from './record-buckets.ts'
import type { RecordStore } from './record-store.ts'
import { RecordTable } from './record-table.ts'
import { Tables } from './tables.ts'
import { Transactions } from './transactions.ts'

/** Most records that one alarm works through; where there are more it comes again at once. */
const ALARM_BATCH = 100

/** What the alarm is to do, now that its records are tidy. */
export interface DueWork {
  readonly recoverable: readonly Recoverable[]
  /** Events that nobody else delivers: the caller does. */
  readonly events: readonly PendingEvent[]
}

/** An operation that the alarm is to recover. */
export interface Recoverable {
  readonly id: string
  readonly record: UnknownRecord
}

/** A change of a record. */
interface Change {
  readonly known: OperationRecord | null
  /** `null`: the operation is forgotten. */
  readonly record: OperationRecord | null
  /** A body that is stored beside the record. */
  readonly beside?: Uint8Array | null
}

const GONE = { record: null }

/** A record that still waits for the end of its last claim. */
type OpenRecord = InProgressRecord | UnknownRecord

/**
 * The operations of one object. Every method is one transaction, the alarm included, with nothing
 * awaited in it: it reads the record once, decides, writes, and returns the decision.
 */
export class Ledger {
  readonly bodies: Bodies
  readonly transactions: Transactions
  readonly #storage: DurableObjectStorage
  readonly #records: RecordStore
  readonly #events: EventTable
  readonly #lanes: EventLanes
  /** Whether this object's memory holds the running call of an operation. */
  readonly #isRunning: (operationId: string) => boolean

  /** @param isShard Whether the object guards many operations, and not one. */
  constructor(
    storage: DurableObjectStorage,
    isShard: boolean,
    isRunning: (operationId: string) => boolean,
  ) {
    const tables = new Tables(storage)
    this.#storage = storage
    this.#records = isShard ? new RecordBuckets(tables) : new RecordTable(tables)
    this.#events = new EventTable(tables)
    this.#lanes = new EventLanes(this.#events)
    const stored = { tables, records: this.#records, lanes: this.#lanes }
    this.transactions = new Transactions(storage, stored, isShard)
    this.bodies = new Bodies(tables, this.#records, this.transactions)
    this.transactions.cleanUpAt = (now) => this.bodies.cleanUpAt(now)
    this.#isRunning = isRunning
  }

  /** The record of an operation, as a claim would see it now. */
  find(operationId: string): OperationRecord | null {
    return this.#asNow(operationId, this.#records.read(operationId), Date.now())
  }

  /**
   * How long the call of an operation certainly has an owner: without end where this object makes
   * it, to the end of its lease where a Worker does, and 0 where nobody does.
   *
   * @returns Milliseconds.
   */
  ownedMs(operationId: string): number {
    if (this.#isRunning(operationId)) return Infinity
    const record = this.#records.read(operationId)
    if (record?.state !== 'in_progress' || record.owner.kind !== 'worker') return 0
    return Math.max(0, record.owner.leaseUntil - Date.now())
  }

  /** Decides the fate of a request as of now, and stores nothing. */
  look(request: ClaimRequest): ClaimDecision {
    const record = this.#records.read(request.operationId)
    return this.#decideClaim(record, request, Date.now())
  }

  /**
   * Decides the fate of a request; a granted claim is stored when this returns.
   *
   * @param stored The request, where the route keeps it for a recovery without a client.
   */
  claim(request: ClaimRequest, stored: Uint8Array | null): ClaimDecision {
    const id = request.operationId
    return this.#change(id, (known, now) => {
      const decision = this.#decideClaim(known, request, now)
      if (!('record' in decision) || isSameClaim(decision.record, known)) return decision
      const { kind } = decision
      const record = kind === 'hold' ? this.#dropHeldRequest(id, decision.record) : decision.record
      this.#write(id, { known, record }, now)
      // Answers of an earlier operation of the key, or of a call that was lost in the middle of its body.
      this.bodies.dropAnswers(id, record, now)
      if (kind === 'execute') this.bodies.writeRequest(id, stored)
      return decision
    })
  }

  /**
   * Makes the next claim of an operation for a request, when the origin has said that no call
   * before was executed.
   *
   * @param stored As for `claim`.
   * @returns `null` when the claim is no longer the last one.
   */
  claimResolved(known: ClaimRef, request: ClaimRequest, stored: Uint8Array | null): Granted | null {
    return this.#claimNext(known, (record, now) => {
      this.bodies.writeRequest(known.operationId, stored)
      return claimResolved(record, request, now)
    })
  }

  /**
   * Makes the next claim of an operation by the one who holds the last, or by the alarm.
   *
   * @returns `null` when the claim is no longer the last one.
   */
  claimAgain(claim: ClaimRef, next: NextClaim): Granted | null {
    return this.#claimNext(claim, (record, now) => claimAgain(record, next, now))
  }

  #claimNext(
    claim: ClaimRef,
    toNext: (record: OpenRecord, now: number) => InProgressRecord,
  ): Granted | null {
    const record = this.#replace(claim, (known, now) => {
      if (!isOpen(known, claim)) return null
      const next = toNext(known, now)
      // Pieces of the call before, if it was lost in the middle of its body.
      this.bodies.dropAnswers(claim.operationId, next, now)
      return next
    })
    return record && toGranted(claim.operationId, record)
  }

  /**
   * Notes that a call has ended and that another one will follow.
   *
   * @returns `false` when the claim is no longer the last one.
   */
  note(claim: ClaimRef, end: CallEnd): boolean {
    return this.#replace(claim, (record, now) => noteAttempt(record, claim, end, now)) !== null
  }

  /**
   * Hands a Worker's claim to the object: from now on it needs no lease.
   *
   * @param claimId Names the claim from now on.
   * @returns `null` when the claim has ended or a newer one exists.
   */
  adopt(claim: ClaimRef, claimId: string): Granted | null {
    const adopted = this.#replace(claim, (record) => decideAdoption(record, claim, claimId))
    return adopted && toGranted(claim.operationId, adopted)
  }

  /** Lengthens a Worker's lease. @returns `false` when no Worker holds this claim any more. */
  renew(claim: ClaimRef, leaseMs: number): boolean {
    const renewed = this.#replace(claim, (record, now) =>
      decideRenewal(record, claim, now + leaseMs),
    )
    return renewed !== null
  }

  /** Drops the stored request of an unknown outcome: from now on only the next request brings one. */
  dropRequest(claim: ClaimRef): void {
    this.#replace(claim, (record) => {
      if (!isOpen(record, claim)) return null
      this.bodies.dropRequest(claim.operationId)
      return { ...record, recovery: toUnstored(record.recovery) }
    })
  }

  /** Lets the alarm recover an unknown outcome no sooner than the origin wants to be asked again. */
  postponeRecovery(claim: ClaimRef, askedMs: number): void {
    this.#replace(claim, (record, now) => {
      const isUnknown = isOpen(record, claim) && record.state === 'unknown'
      return isUnknown ? postpone(record, askedMs, now) : null
    })
  }

  /** Lets another object guard an operation, if nothing is known of it here. */
  handOver(question: HandOverQuestion): HandOver {
    const { operationId: id } = question
    return this.#change(id, (known, now) => {
      const { answer, record } = decideHandOver(this.#asNow(id, known, now), question, now)
      if (record !== null) this.#write(id, { known, record }, now)
      return answer
    })
  }

  /** Notes that a client comes back for the result. @returns The record of the operation. */
  accept(operationId: string): OperationRecord | null {
    return this.#change(operationId, (known, now) => {
      const isPending = known?.state === 'in_progress' || known?.state === 'unknown'
      if (!isPending || known.isAccepted) return this.#asNow(operationId, known, now)
      const accepted = { ...known, isAccepted: true }
      this.#write(operationId, { known, record: accepted }, now)
      return this.#asNow(operationId, accepted, now)
    })
  }

  /**
   * Ends a claim. Also refused if earlier pieces of its body are gone: half an answer must never be
   * replayed.
   *
   * @param body The rest of the body, for an outcome that is replayed.
   * @param emitted Events of its handler: they are stored together with the outcome, or not at all.
   */
  settle(
    claim: ClaimRef,
    settlement: Settlement,
    body: UnstoredBody | null,
    emitted: readonly NewEvent[] = [],
  ): SettleResult {
    const id = claim.operationId
    return this.#change(id, (known, now) => {
      const decision = decideSettle(known, claim, settlement, now)
      if (decision.kind === 'repeat') return 'taken'
      if (decision.kind === 'refuse' || !this.bodies.isWhole(id, body)) {
        // The pieces of a body that was recorded for nothing.
        this.bodies.dropAnswers(id, known, now)
        return 'refused'
      }
      const ending = decision.kind === 'store' ? this.#storeBodies(id, decision.record, body) : GONE
      const { record } = ending
      this.#write(id, { known, ...ending }, now)
      if (record?.state !== 'in_progress') this.bodies.dropAnswers(id, record, now)
      if ('snapshot' in settlement) for (const event of emitted) this.#events.add(event)
      return decision.isLate ? 'late' : 'taken'
    })
  }

  /** Stores the body of a settled record, unless it goes beside it, and drops bodies that are not needed. */
  #storeBodies(
    id: string,
    record: SettledRecord | OpenRecord,
    body: UnstoredBody | null,
  ): Omit<Change, 'known'> {
    if (record.state === 'in_progress') return { record }
    if (record.state === 'unknown') return { record: this.#dropHeldRequest(id, record) }
    this.bodies.dropRequest(id)
    if (body === null) return { record }
    const { generation } = body
    return { record: { ...record, generation }, beside: this.bodies.writeResult(id, body) }
  }

  /** Forgets an operation altogether, its events included. */
  erase(operationId: string): void {
    this.#change(operationId, (known, now) => {
      this.#events.deleteAllOf(operationId)
      this.#write(operationId, { known, record: null }, now)
      this.bodies.dropAnswers(operationId, null, now)
    })
  }

  /**
   * Resolves when everything that was written is on disk. The platform holds what an object returns
   * until then, but not the rest of a stream that was returned before.
   */
  async onDisk(): Promise<void> {
    await this.#storage.sync()
  }

  /**
   * Lets the alarm look after an operation whose call takes long, or whose client comes back for the
   * result. Also sets an alarm that the platform has given up. If that fails, the next change sets it.
   */
  watch(operationId: string): void {
    try {
      this.transactions.run((now) => this.#records.watch(operationId, now))
    } catch (error) {
      logFault('an alarm could not be set', error)
    }
  }

  /** Deletes expired records and marks those that have lost their owner. @returns The work that is left. */
  tidy(): DueWork {
    return this.transactions.runInAlarm((now) => {
      this.bodies.dropLeft(now, ALARM_BATCH)
      const recoverable = this.#records
        .listDue(now, ALARM_BATCH)
        .flatMap(({ id, record }) => this.#tidyOne(id, record, now) ?? [])
      if (this.#records.dropEnded(now, this.bodies.listBeingRead())) this.bodies.beginCleanUp()
      this.bodies.cleanUp(now, ALARM_BATCH)
      return { recoverable, events: this.#takeEvents(now) }
    })
  }

  #tidyOne(id: string, known: OperationRecord, now: number): Recoverable | null {
    const record = asDeployed(known)
    const decision = decideAlarm(record, this.#factsOf(id, record, now))
    switch (decision.kind) {
      case 'keep':
        this.#write(id, { known, record }, now)
        return null
      case 'store': {
        const kept = this.#dropHeldRequest(id, decision.record)
        this.#write(id, { known, record: kept }, now)
        this.bodies.dropAnswers(id, kept, now)
        return null
      }
      case 'recover':
        this.#write(id, { known, record: decision.record }, now)
        return { id, record: decision.record }
      case 'forget':
        this.#records.forget(id)
        this.#write(id, { known, record: null }, now)
        this.bodies.dropAnswers(id, null, now)
        return null
    }
  }

  /** Events of an operation that still wait for their delivery. */
  countEvents(operationId: string): number {
    return this.#events.count(operationId)
  }

  /**
   * Takes an event off: it was delivered, or is kept elsewhere.
   *
   * @returns Events that may go now: the caller delivers them.
   */
  deleteEvent(event: PendingEvent): PendingEvent[] {
    return this.#endDelivery(event, () => this.#events.delete(event))
  }

  /**
   * Notes that a delivery has failed, or that a dead event could not be put elsewhere.
   *
   * @param until Epoch milliseconds of the next try.
   * @returns As for `deleteEvent`.
   */
  postponeEvent(event: PendingEvent, until: number): PendingEvent[] {
    const postponed = { ...event, failures: event.failures + 1, dueAt: until }
    return this.#endDelivery(event, () => this.#events.postpone(postponed))
  }

  #endDelivery({ lane }: PendingEvent, write: () => void): PendingEvent[] {
    this.#lanes.land(lane)
    return this.transactions.run((now) => {
      write()
      this.#lanes.leave(lane)
      return this.#takeEvents(now)
    })
  }

  #takeEvents(now: number): PendingEvent[] {
    return this.#lanes.take(now).map(({ sequence }) => this.#events.read(sequence))
  }

  /** Reads a record and lets it be decided on, in one transaction. */
  #change<result>(
    id: string,
    decide: (known: OperationRecord | null, now: number) => result,
  ): result {
    return this.transactions.run((now) => decide(this.#records.read(id), now))
  }

  /** Stores what follows from the record of a claim, if anything does. */
  #replace<next extends OperationRecord>(
    { operationId }: ClaimRef,
    decide: (record: OperationRecord | null, now: number) => next | null,
  ): next | null {
    return this.#change(operationId, (known, now) => {
      const next = decide(known, now)
      if (next !== null) this.#write(operationId, { known, record: next }, now)
      return next
    })
  }

  /** Stores a changed record and the events that it causes. Events stay when the record is forgotten. */
  #write(id: string, { known, record, beside }: Change, now: number): void {
    if (record === null) {
      this.#records.delete(id)
      this.bodies.dropRequest(id)
    } else this.#records.write(id, record, now, beside)
    this.#events.leave({ id, before: known, after: record, now })
  }

  /**
   * Deletes a stored request, credentials included, that is never sent again: its operation is held,
   * its caller was refused, or only a tombstone is left. The record notes that it is gone, in case
   * the operation turns out not to have been executed.
   */
  #dropHeldRequest<record extends OperationRecord>(id: string, record: record): record {
    const { recovery } = record
    const isStored = recovery.isDurable === true
    const isSentAgain = isStored && (recovery.kind !== 'hold' || isUnexecuted(record))
    if (record.state === 'unknown' && isSentAgain) return record
    this.bodies.dropRequest(id)
    if (record.state !== 'unknown' || !isStored) return record
    return { ...record, recovery: toUnstored(recovery) }
  }

  #decideClaim(record: OperationRecord | null, request: ClaimRequest, now: number): ClaimDecision {
    return decideClaim(record, request, this.#factsOf(request.operationId, record, now))
  }

  #factsOf(id: string, record: OperationRecord | null, now: number): ClaimFacts {
    const isBeingRead = this.bodies.isBeingRead(id, record)
    return { now, isRunning: this.#isRunning(id), isBeingRead }
  }

  /** What a record says at this moment, whether or not the alarm has come. */
  #asNow(id: string, known: OperationRecord | null, now: number): OperationRecord | null {
    if (known === null) return null
    const record = asDeployed(known)
    return asOf(record, this.#factsOf(id, record, now))
  }
}

/** Whether a claim was granted before and its answer was lost on the way: all of it is stored. */
function isSameClaim(record: OperationRecord, known: OperationRecord | null): boolean {
  const isGranted = record.state === 'in_progress' && known?.state === 'in_progress'
  return isGranted && record.fence === known.fence && record.claimId === known.claimId
}
