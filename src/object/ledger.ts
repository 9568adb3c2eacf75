import { deployedPolicies } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import type { SettleResult } from '../core/answer.ts'
import { concat } from '../core/body.ts'
import {
  asOf,
  claimAgain,
  type ClaimDecision,
  type ClaimFacts,
  type ClaimRequest,
  claimResolved,
  decideClaim,
  type Granted,
  isUnexecuted,
  type NextClaim,
  postpone,
  remember,
  tighten,
  toGranted,
} from '../core/claim.ts'
import { decideAlarm, dueAt, isRecoverable } from '../core/due.ts'
import { rulesFor, toStateEvent } from '../core/event.ts'
import { decideAdoption, decideRenewal } from '../core/lease.ts'
import type { Outcome } from '../core/outcome.ts'
import { countFrom, estimateReceipt } from '../core/receipt.ts'
import {
  type ClaimRef,
  doubtOf,
  type InProgressRecord,
  type OperationRecord,
  type SettledRecord,
  type UnknownRecord,
} from '../core/record.ts'
import { graceMsOf, toUnstored } from '../core/recovery.ts'
import {
  decideSettle,
  type Evidence,
  isOpen,
  noteAttempt,
  type Settlement,
} from '../core/settle.ts'
import { logFault } from '../metrics/log.ts'
import { inClear } from '../platform/at-rest.ts'
import type { ReadEnd } from './byte-stream.ts'
import { EventLanes } from './event-lanes.ts'
import { Holds } from './holds.ts'
import {
  type AnswerBody,
  type BodyRef,
  type NewEvent,
  type PendingEvent,
  PIECE_BYTES,
  type Pieces,
  RecordStore,
  type SpilledPiece,
  type StoreSummary,
  toPieces,
  type UnstoredBody,
} from './record-store.ts'

/** Most records that one alarm works through; where there are more it comes again at once. */
const ALARM_BATCH = 100

/** Most keys that are deleted in the bucket at once; R2 takes 1,000. */
const SWEEP_BATCH = 1_000
/** How soon it is tried again where that fails, in milliseconds. */
const SWEEP_RETRY_MS = 60_000

/** How soon it is looked again whether a body is still read that is to go, in milliseconds. */
const LEFT_LOOK_MS = 60_000

/**
 * How long the operator's list waits for an operation whose outcome is unknown and that something
 * may still be done about.
 */
const STUCK_AFTER_MS = 60_000

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

/**
 * The operations of one object and their alarm. Every method is one read-decide-write in one
 * transaction, the alarm included, with nothing awaited in between.
 */
export class Ledger {
  readonly #storage: DurableObjectStorage
  readonly #store: RecordStore
  /** Whether this object's memory holds the running call of an operation. */
  readonly #isRunning: (operationId: string) => boolean
  readonly #onGarbage: () => void
  readonly #holds = new Holds((ref) => this.#letGo(ref))
  readonly #lanes = new EventLanes()
  /** The alarm that this instance has set, in epoch milliseconds. */
  #alarmAt: number | null = null

  /** @param onGarbage Called when something is to be deleted in the bucket. */
  constructor(
    storage: DurableObjectStorage,
    isRunning: (operationId: string) => boolean,
    onGarbage: () => void,
  ) {
    this.#storage = storage
    this.#store = new RecordStore(storage)
    this.#isRunning = isRunning
    this.#onGarbage = onGarbage
  }

  /** What is stored of an operation, judged as a claim would judge it now. */
  find(operationId: string): OperationRecord | null {
    const known = this.#store.read(operationId)
    if (known === null) return null
    const record = asDeployed(known)
    return asOf(record, this.#factsOf(operationId, record, Date.now()))
  }

  /**
   * How long the call of an operation certainly has an owner: without end where this object makes
   * it, to the end of its lease where a Worker does, and 0 where nobody does.
   *
   * @returns Milliseconds.
   */
  ownedMs(operationId: string): number {
    if (this.#isRunning(operationId)) return Infinity
    const record = this.#store.read(operationId)
    if (record?.state !== 'in_progress' || record.owner.kind !== 'worker') return 0
    return Math.max(0, record.owner.leaseUntil - Date.now())
  }

  /** Notes that a client comes back for the result. @returns What is known of the operation. */
  accept(operationId: string): OperationRecord | null {
    const now = Date.now()
    return this.#change(now, () => {
      const record = this.#store.read(operationId)
      if ((record?.state === 'in_progress' || record?.state === 'unknown') && !record.isAccepted) {
        this.#write(operationId, { ...record, isAccepted: true }, now)
      }
      return this.find(operationId)
    })
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
      const known = this.#store.read(id)
      const decision = this.#decide(request, now)
      if (!('record' in decision)) return decision
      if (isSameClaim(decision.record, known)) return decision
      this.#write(id, decision.record, now)
      // Of an earlier life of the key, or of a call that was lost in the middle of its body.
      this.#dropAnswers(id, now)
      if (decision.kind === 'hold') this.#dropHeldRequest(id, decision.record, now)
      if (decision.kind === 'execute') this.#writeRequest(id, stored)
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
  claimResolved(
    known: ClaimRef,
    request: ClaimRequest,
    stored: Uint8Array | null,
  ): InProgressRecord | null {
    return this.#claimNext(known, (record, now) => {
      this.#writeRequest(known.operationId, stored)
      return claimResolved(record, request, now)
    })
  }

  /**
   * Notes that a call has ended and that another one will follow.
   *
   * @returns `false` when the claim is no longer the last one.
   */
  note(claim: ClaimRef, end: { outcome: Outcome; evidence: Evidence }): boolean {
    return this.#replace(claim, (record, now) => noteAttempt(record, claim, end, now)) !== null
  }

  /**
   * Makes the next claim of an operation by the one who holds the last, or by the alarm.
   *
   * @returns `null` when the claim is no longer the last one.
   */
  claimAgain(claim: ClaimRef, next: NextClaim): InProgressRecord | null {
    return this.#claimNext(claim, (record, now) => claimAgain(record, next, now))
  }

  #claimNext(
    claim: ClaimRef,
    toNext: (record: InProgressRecord | UnknownRecord, now: number) => InProgressRecord,
  ): InProgressRecord | null {
    const now = Date.now()
    return this.#change(now, () => {
      const record = this.#store.read(claim.operationId)
      if (!isOpen(record, claim)) return null
      const claimed = toNext(record, now)
      this.#write(claim.operationId, claimed, now)
      // What the call before has left of a body that was lost in the middle.
      this.#dropAnswers(claim.operationId, now)
      return claimed
    })
  }

  /**
   * Hands a Worker's claim to the object: from now on it needs no lease.
   *
   * @param claimId Names the claim from now on.
   * @returns `null` when the claim has ended or a newer one exists.
   */
  adopt(claim: ClaimRef, claimId: string): Granted | null {
    const adopted = this.#replace(claim, (record) => decideAdoption(record, claim, claimId))
    return adopted === null ? null : toGranted(claim.operationId, adopted)
  }

  /** Lengthens a Worker's lease. @returns `false` when no Worker holds this claim any more. */
  renew(claim: ClaimRef, leaseMs: number): boolean {
    const decide = (record: OperationRecord | null, now: number) =>
      decideRenewal(record, claim, now + leaseMs)
    return this.#replace(claim, decide) !== null
  }

  /** Stores what follows from the record, if anything does. */
  #replace(
    { operationId }: ClaimRef,
    decide: (record: OperationRecord | null, now: number) => InProgressRecord | null,
  ): InProgressRecord | null {
    const now = Date.now()
    return this.#change(now, () => {
      const next = decide(this.#store.read(operationId), now)
      if (next !== null) this.#write(operationId, next, now)
      return next
    })
  }

  /**
   * Ends a claim. Refused also where pieces of its body that were stored before are there no more:
   * half an answer must never be replayed.
   *
   * @param body What is still to be stored of the body, where the outcome is one that is replayed.
   * @param emitted Events of its handler: they are stored with what it has come to, or not at all.
   */
  settle(
    claim: ClaimRef,
    settlement: Settlement,
    body: UnstoredBody | null,
    emitted: readonly NewEvent[] = [],
  ): SettleResult {
    const id = claim.operationId
    const now = Date.now()
    return this.#change(now, () => {
      const decision = decideSettle(this.#store.read(id), claim, settlement, now)
      if (decision.kind === 'repeat') return 'taken'
      if (decision.kind === 'refuse' || !this.#isWhole(id, body)) {
        // Of a body that was recorded for nothing.
        this.#dropAnswers(id, now)
        return 'refused'
      }
      if (decision.kind === 'release') this.#forget(id, now)
      else this.#writeSettled(id, decision.record, body, now)
      if ('snapshot' in settlement) for (const event of emitted) this.#store.addEvent(event)
      return decision.isLate ? 'late' : 'taken'
    })
  }

  /**
   * Resolves when everything that was written is on disk. What an object returns waits for that by
   * itself; the rest of a stream that was returned before does not.
   */
  async onDisk(): Promise<void> {
    await this.#storage.sync()
  }

  /** Does what is due: what has expired goes, what has lost its owner is marked. @returns What is left to be done. */
  tidy(): DueWork {
    const now = Date.now()
    // The alarm that has come is not set any more.
    this.#alarmAt = null
    return this.#change(now, () => {
      for (const ref of this.#store.listLeft(now, ALARM_BATCH)) this.#dropAnswer(ref, now)
      const recoverable = this.#store
        .listDue(now, ALARM_BATCH)
        .flatMap(({ id, record }) => this.#tidyOne(id, record, now) ?? [])
      return { recoverable, events: this.#takeEvents(now) }
    })
  }

  /** Forgets an operation altogether, its events included. */
  erase(operationId: string): void {
    const now = Date.now()
    this.#change(now, () => {
      this.#store.deleteEvents(operationId)
      this.#forget(operationId, now)
    })
  }

  /** Events of an operation that still wait for their delivery. */
  countEvents(operationId: string): number {
    return this.#store.countEvents(operationId)
  }

  /**
   * Stores pieces of a body that is still coming; they count for nothing before the settle.
   *
   * @throws {Error} When the operation is there no more: nothing would ever delete them.
   */
  writeBody({ operationId, body }: BodyRef, pieces: Pieces): void {
    this.#store.transaction(() => {
      if (this.#store.read(operationId) === null) throw new Error('The operation was forgotten.')
      this.#store.writeBody(operationId, body, pieces)
    })
  }

  /** @returns One piece of an answer, or where it is, or `null` behind its end. */
  readBodyPart(
    { operationId, body }: BodyRef,
    part: number,
  ): Uint8Array<ArrayBuffer> | SpilledPiece | null {
    return this.#store.readBodyPart(operationId, body, part)
  }

  /**
   * Keeps an answer for who reads or records it, whatever becomes of its operation.
   *
   * @returns Lets it go: the last one to do so deletes it, unless it is the operation's result.
   */
  hold(ref: BodyRef): () => void {
    return this.#holds.take(ref)
  }

  /**
   * Notes that the client whose request made an answer reads it: until it does so no more that does
   * not expire, and retention counts from then.
   *
   * @returns Notes that it was handed all of it, or has left.
   */
  awaitReceipt(ref: BodyRef): (how: ReadEnd) => void {
    this.#holds.noteFirst(ref)
    return (how) => {
      this.#noteReceipt(ref, how)
      this.#holds.forgetFirst(ref)
    }
  }

  /** Drops the stored request of an unknown outcome: from now on only the next request brings one. */
  dropRequest(claim: ClaimRef): void {
    const id = claim.operationId
    const now = Date.now()
    this.#change(now, () => {
      const record = this.#store.read(id)
      if (!isOpen(record, claim)) return
      this.#store.deleteBody(id, 'request')
      this.#write(id, { ...record, recovery: toUnstored(record.recovery) }, now)
    })
  }

  /** Lets the alarm recover an unknown outcome no sooner than the origin wants to be asked again. */
  postponeRecovery(claim: ClaimRef, askedMs: number): void {
    const now = Date.now()
    this.#change(now, () => {
      const record = this.#store.read(claim.operationId)
      if (!isOpen(record, claim) || record.state !== 'unknown') return
      this.#write(claim.operationId, postpone(record, askedMs, now), now)
    })
  }

  /** @returns The stored request, or `null` when there is none. */
  readStoredRequest(operationId: string): Uint8Array<ArrayBuffer> | null {
    const parts: Uint8Array<ArrayBuffer>[] = []
    for (let part = 0; ; part++) {
      const piece = this.#store.readBodyPart(operationId, 'request', part)
      if (!(piece instanceof Uint8Array)) break
      parts.push(piece)
    }
    return parts.length === 0 ? null : concat(parts)
  }

  #decide(request: ClaimRequest, now: number): ClaimDecision {
    const id = request.operationId
    const record = this.#store.read(id)
    return decideClaim(record, request, this.#factsOf(id, record, now))
  }

  #factsOf(operationId: string, record: OperationRecord | null, now: number): ClaimFacts {
    const isBeingRead =
      isSettled(record) &&
      isReadInPieces(record) &&
      this.#holds.hasFirst({ operationId, body: bodyOf(record) })
    return { now, isRunning: this.#isRunning(operationId), isBeingRead }
  }

  #tidyOne(id: string, known: OperationRecord, now: number): Recoverable | null {
    const record = asDeployed(known)
    const decision = decideAlarm(record, this.#factsOf(id, record, now))
    switch (decision.kind) {
      case 'keep':
        this.#write(id, record, now)
        return null
      case 'store':
        if (decision.record.state === 'expired') this.#store.deleteBody(id, 'request')
        else this.#dropHeldRequest(id, decision.record, now)
        this.#write(id, decision.record, now)
        this.#dropAnswers(id, now)
        return null
      case 'recover':
        this.#write(id, decision.record, now)
        return { id, record: decision.record }
      case 'forget':
        this.#forget(id, now)
        return null
    }
  }

  #writeSettled(
    id: string,
    record: SettledRecord | UnknownRecord | InProgressRecord,
    body: UnstoredBody | null,
    now: number,
  ): void {
    if (record.state === 'in_progress') return this.#write(id, record, now)
    if (record.state === 'unknown') {
      this.#write(id, record, now)
      this.#dropHeldRequest(id, record, now)
    } else {
      this.#write(id, { ...record, ...(body && { generation: body.generation }) }, now)
      this.#store.deleteBody(id, 'request')
      if (body !== null) this.#store.writeBody(id, body.generation, body)
    }
    this.#dropAnswers(id, now)
  }

  #isWhole(id: string, body: UnstoredBody | null): boolean {
    if (body === null || body.firstPart === 0) return true
    return this.#store.hasParts(id, body.generation, body.firstPart)
  }

  /** Deletes every answer of an operation but its result; one that is being read goes later. */
  #dropAnswers(operationId: string, now: number): void {
    for (const body of this.#store.listAnswers(operationId)) {
      this.#dropAnswer({ operationId, body }, now)
    }
  }

  #dropAnswer(ref: BodyRef, now: number): void {
    if (this.#isResult(ref)) return this.#store.keepBody(ref)
    if (!this.#holds.has(ref)) return this.#store.deleteBody(ref.operationId, ref.body)
    this.#holds.leave(ref)
    this.#store.leaveBody(ref, now + LEFT_LOOK_MS)
  }

  #isResult({ operationId, body }: BodyRef): boolean {
    const record = this.#store.read(operationId)
    return bodyOf(record) === body && !isOmitted(record)
  }

  /** The last one has let an answer go. Where it cannot be deleted now, the alarm or the next claim does it. */
  #letGo(ref: BodyRef): void {
    try {
      if (this.#isResult(ref)) return
      this.#change(Date.now(), () => this.#store.deleteBody(ref.operationId, ref.body))
    } catch (error) {
      logFault('an answer that nobody reads any more could not be deleted', error)
    }
  }

  /** The client whose request made a result was handed all of it, or has left. */
  #noteReceipt(ref: BodyRef, how: ReadEnd): void {
    const now = Date.now()
    try {
      const record = this.#store.read(ref.operationId)
      if (!isSettled(record) || bodyOf(record) !== ref.body || !isReadInPieces(record)) return
      const moved = countFrom(record, how === 'whole' ? estimateReceipt(record, now) : now)
      if (moved !== null) this.#change(now, () => this.#write(ref.operationId, moved, now))
    } catch (error) {
      logFault('retention could not be counted from when the client has the result', error)
    }
  }

  /**
   * What is held, or whose caller was refused, is not sent again, so its request, credentials
   * included, is of no use any more; and nobody must count on it later, should the operation turn
   * out not to have been executed.
   */
  #dropHeldRequest(id: string, record: UnknownRecord, now: number): void {
    const { recovery } = record
    const isStored = recovery.isDurable === true
    if (isStored && (recovery.kind !== 'hold' || isUnexecuted(record))) return
    this.#store.deleteBody(id, 'request')
    if (isStored) this.#write(id, { ...record, recovery: toUnstored(recovery) }, now)
  }

  #writeRequest(id: string, stored: Uint8Array | null): void {
    this.#store.deleteBody(id, 'request')
    if (stored === null) return
    this.#store.writeBody(id, 'request', { firstPart: 0, pieces: toPieces(stored) })
  }

  #write(id: string, record: OperationRecord, now: number): void {
    const before = this.#store.read(id)
    this.#store.write(id, record, dueAt(record, now))
    this.#addStateEvents(id, before, record, now)
  }

  /** What a record leaves when it comes to another state, in the transaction in which it does. */
  #addStateEvents(
    operationId: string,
    before: OperationRecord | null,
    record: OperationRecord,
    now: number,
  ): void {
    const isSame = record.state === before?.state && record.fence === before.fence
    if (!isSame && record.state !== 'in_progress' && record.state !== 'expired') {
      this.#addEvents(operationId, record, now)
    }
    // Also of a claim that stays in progress: the origin may say that no call was executed.
    this.#noteDoubt(operationId, before, record, now)
  }

  #addEvents(operationId: string, record: SettledRecord | UnknownRecord, now: number): void {
    const bytes = toEventBytes(operationId, record, now)
    for (const { to, retry } of rulesFor(record)) {
      this.#store.addEvent({ operationId, recipient: to, retry, bytes, dueAt: now })
    }
  }

  /**
   * The operator's list is to hold an operation from when it comes into doubt until an end of it is
   * known: a call that is made again in between changes nothing there. What could not have been
   * listed yet is not struck off either.
   */
  #noteDoubt(
    operationId: string,
    before: OperationRecord | null,
    record: OperationRecord | null,
    now: number,
  ): void {
    const wasListed = isListed(before)
    if (wasListed === isListed(record)) return
    if (!wasListed) {
      const isPatient = record?.state === 'unknown' && isRecoverable(record, now)
      this.#store.replaceNotice(operationId, now + (isPatient ? STUCK_AFTER_MS : 0))
    } else if (!this.#store.dropEarlyNotice(operationId, now)) {
      this.#store.replaceNotice(operationId, now)
    }
  }

  /** Deletes an operation; what is due to its events stays. */
  #forget(operationId: string, now: number): void {
    const before = this.#store.read(operationId)
    this.#store.delete(operationId)
    this.#store.deleteBody(operationId, 'request')
    this.#dropAnswers(operationId, now)
    this.#noteDoubt(operationId, before, null, now)
  }

  /**
   * Takes an event off: it was delivered, or is kept elsewhere.
   *
   * @returns Events that may go now: the caller delivers them.
   */
  deleteEvent(event: PendingEvent): PendingEvent[] {
    return this.#endDelivery(event, () => this.#store.deleteEvent(event))
  }

  /**
   * Notes that a delivery has failed, or that a dead event could not be put elsewhere.
   *
   * @param until Epoch milliseconds of the next try.
   * @returns As for `deleteEvent`.
   */
  postponeEvent(event: PendingEvent, until: number): PendingEvent[] {
    const postponed = { ...event, failures: event.failures + 1, dueAt: until }
    return this.#endDelivery(event, () => this.#store.postponeEvent(postponed))
  }

  #endDelivery({ lane }: PendingEvent, write: () => void): PendingEvent[] {
    const now = Date.now()
    this.#lanes.land(lane)
    return this.#change(now, () => {
      write()
      this.#lanes.leave(lane)
      return this.#takeEvents(now)
    })
  }

  #takeEvents(now: number): PendingEvent[] {
    const taken = this.#lanes.take(this.#store.listHeads(), now)
    return taken.map(({ sequence }) => this.#store.readEvent(sequence))
  }

  /**
   * One transaction: the change, and the alarm for whatever is due next. Where anything of it fails
   * all of it is rolled back, so that what the caller is told is what is stored. Storage is given
   * back behind it, which changes nothing that was told.
   */
  #change<result>(now: number, work: () => result): result {
    const { result, summary } = this.#transact(() => {
      const changed = { result: work(), summary: this.#store.summary() }
      this.#setAlarmFor(changed.summary, now)
      return changed
    })
    if (summary.garbageCount > 0) this.#onGarbage()
    else if (this.#isEmpty(summary)) this.#deleteAll()
    return result
  }

  #transact<result>(work: () => result): result {
    const undo = this.#lanes.save()
    const alarmAt = this.#alarmAt
    try {
      return this.#store.transaction(work)
    } catch (error) {
      undo()
      // An alarm that was set in it is rolled back as well.
      this.#alarmAt = alarmAt
      throw error
    }
  }

  #setAlarmFor(summary: StoreSummary, now: number): void {
    const { garbageCount, dueAt: nextDueAt, heads } = summary
    // What is in the bucket is deleted now, and by the alarm where that fails.
    const sweepAt = garbageCount > 0 ? now + SWEEP_RETRY_MS : Infinity
    const eventsAt = heads.map((head) => this.#lanes.dueAt(head, now))
    const at = Math.min(nextDueAt ?? Infinity, sweepAt, ...eventsAt)
    // An alarm for this very millisecond, set inside an alarm, would be lost (workerd#6866).
    if (at < Infinity) this.#setAlarm(Math.max(at, now + 1))
    else if (!this.#isEmpty(summary)) this.#deleteAlarm()
  }

  /** Whether there is a storage that holds nothing, to be given back with its alarm. */
  #isEmpty({ operationCount, heads, garbageCount, leftCount }: StoreSummary): boolean {
    const count = operationCount + heads.length + garbageCount + leftCount
    return count === 0 && this.#store.hasTables
  }

  /** Sets the alarm for whatever is due, also where this instance believes that it is set. */
  setAlarmAgain(): void {
    this.#alarmAt = null
    this.#change(Date.now(), () => {})
  }

  /** Sets the alarm for whatever is due, where the platform has given it up; where that fails, the next one does. */
  keepAlarm(): void {
    try {
      this.#change(Date.now(), () => {})
    } catch (error) {
      logFault('an alarm could not be set', error)
    }
  }

  /** Lets the alarm come at this time at the latest, whatever is due. @param at Epoch milliseconds. */
  async postponeAlarm(at: number): Promise<void> {
    // It may be set for something else before.
    const isSooner = this.#alarmAt !== null && this.#alarmAt > Date.now() && this.#alarmAt <= at
    if (isSooner) return
    this.#alarmAt = at
    await this.#storage.setAlarm(at)
  }

  /** Keys in the bucket that belong to nothing any more. */
  listGarbage(): string[] {
    return this.#store.listGarbage(SWEEP_BATCH)
  }

  /** Forgets keys that are deleted in the bucket. */
  dropGarbage(spillKeys: readonly string[]): void {
    this.#change(Date.now(), () => this.#store.dropGarbage(spillKeys))
  }

  /** Each setting is billed as a row, so the same time is not set twice. */
  #setAlarm(at: number): void {
    if (this.#alarmAt === at) return
    this.#alarmAt = at
    void this.#followAlarm(this.#storage.setAlarm(at))
  }

  /** Whatever is stored waits for a request, not for a time. */
  #deleteAlarm(): void {
    if (this.#alarmAt === null) return
    this.#alarmAt = null
    void this.#followAlarm(this.#storage.deleteAlarm())
  }

  /** The platform tells its own faults later, when the transaction is over: the next change sets it again. */
  async #followAlarm(set: Promise<void>): Promise<void> {
    try {
      await set
    } catch (error) {
      this.#alarmAt = null
      logFault('an alarm could not be set; the next change of the object sets it', error)
    }
  }

  /** Where that fails the storage is given back later, or stays as it is: empty. */
  #deleteAll(): void {
    this.#alarmAt = null
    this.#store.deleteAll().catch((error: unknown) => {
      logFault('an empty storage could not be given back', error)
    })
  }
}

/**
 * A record under the policy that its route has by now, where that is the stricter one: without a
 * request nothing is sent again, or forgotten, that the route would hold.
 */
function asDeployed(record: OperationRecord): OperationRecord {
  const policies = deployedPolicies(record.operation)
  // What was only observed is never sent to anybody.
  if (policies.length === 0 || record.events === null) return record
  // Of an operation with several routes the loosest counts here: the record may be of that one.
  const retentionMs = Math.min(...policies.map(({ retention }) => retention))
  const tombstoneMs = Math.min(...policies.map(({ tombstone }) => tombstone))
  const words = policies.map(({ unknown }) => unknown)
  const remembered = remember(record, { retentionMs, tombstoneMs })
  return words.includes('resend') ? remembered : asHeld(remembered, words)
}

/** @param words What its routes do about an unknown outcome: none sends it again. */
function asHeld(record: OperationRecord, words: readonly Policy['unknown'][]): OperationRecord {
  const graces = words.flatMap((word) => (typeof word === 'object' ? [word.grace] : []))
  const { recovery } = record
  // Where the route asks by now, the next request does.
  if (recovery.kind !== 'probe' || graces.length === 0) return tighten(record, { kind: 'hold' })
  const graceMs = Math.max(graceMsOf(recovery), Math.min(...graces))
  return { ...record, recovery: { ...recovery, graceMs } }
}

/** Whether an operation is for the operator's list. What is only observed is on none. */
function isListed(record: OperationRecord | null): boolean {
  return doubtOf(record) !== null && record?.events !== null
}

/** Which stored answer is the result of an operation. */
export function bodyOf(record: SettledRecord): AnswerBody
export function bodyOf(record: OperationRecord | null): AnswerBody | null
export function bodyOf(record: OperationRecord | null): AnswerBody | null {
  return isSettled(record) ? (record.generation ?? 'response') : null
}

function isSettled(record: OperationRecord | null): record is SettledRecord {
  return record?.state === 'succeeded' || record?.state === 'failed'
}

/** Whether a result is so large that a client gets it bit by bit: smaller ones are on their way at once. */
function isReadInPieces(record: SettledRecord): boolean {
  return record.snapshot.bodyBytes > PIECE_BYTES || isOmitted(record)
}

/** Whether nothing is kept of the body of a result. */
function isOmitted(record: OperationRecord | null): boolean {
  return isSettled(record) && record.snapshot.body === 'omitted'
}

/** Whether a claim was granted before and its answer was lost on the way: all of it is stored. */
function isSameClaim(record: OperationRecord, known: OperationRecord | null): boolean {
  const isGranted = record.state === 'in_progress' && known?.state === 'in_progress'
  return isGranted && record.fence === known.fence && record.claimId === known.claimId
}

function toEventBytes(
  operationId: string,
  record: SettledRecord | UnknownRecord,
  now: number,
): Uint8Array<ArrayBuffer> {
  const event = toStateEvent(operationId, record, now)
  return inClear(new Uint8Array(new TextEncoder().encode(JSON.stringify(event))))
}
