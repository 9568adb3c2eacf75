import { isSoonEnough } from '../core/operation/due.ts'
import { logFault } from '../metrics/log.ts'
import type { EventLanes } from './event-lanes.ts'
import type { RecordStore } from './record-store.ts'
import type { Tables } from './tables.ts'

/** Pause before pieces that could not be deleted in the R2 bucket are tried again, in milliseconds. */
const SWEEP_RETRY_MS = 60_000

/** An alarm that has not come for so long was given up by the platform, in milliseconds. */
const OVERDUE_MS = 60_000

/** What an object stores, and which of its events are under way. */
interface Stored {
  readonly tables: Tables
  readonly records: RecordStore
  readonly lanes: EventLanes
}

/** Changes what an object stores, together with its alarm: one transaction sets both. */
export class Transactions {
  readonly #storage: DurableObjectStorage
  readonly #tables: Tables
  readonly #records: RecordStore
  readonly #lanes: EventLanes
  readonly #isShared: boolean
  /** Called when something is to be deleted in the R2 bucket. */
  onGarbage = () => {}
  /** When the clean-up of bodies continues; `null`: there is none. */
  cleanUpAt: (now: number) => number | null = () => null
  /** The alarm that this instance has set, in epoch milliseconds. */
  #alarmAt: number | null = null

  /** @param isShared Whether the alarm is that of many operations. */
  constructor(
    storage: DurableObjectStorage,
    { tables, records, lanes }: Stored,
    isShared: boolean,
  ) {
    this.#storage = storage
    this.#isShared = isShared
    this.#tables = tables
    this.#records = records
    this.#lanes = lanes
  }

  /**
   * Runs a change and sets the alarm for the next due time, in one transaction. If any of it fails,
   * all of it is rolled back, so the returned decision is always stored. Empty storage is given back
   * after the transaction.
   */
  run<result>(change: (now: number) => result): result {
    const now = Date.now()
    const { result, left } = this.#transact(() => ({
      result: change(now),
      left: this.#setAlarmForNext(now),
    }))
    if (left.hasGarbage) this.onGarbage()
    else if (left.isEmpty) this.#deleteAll()
    return result
  }

  /** The same inside an alarm, which is not set any more once it has come. */
  runInAlarm<result>(change: (now: number) => result): result {
    this.#alarmAt = null
    return this.run(change)
  }

  #transact<result>(work: () => result): result {
    const undo = this.#lanes.save()
    const alarmAt = this.#alarmAt
    try {
      return this.#tables.transaction(work)
    } catch (error) {
      undo()
      this.#records.reload()
      // An alarm that was set in it is rolled back as well.
      this.#alarmAt = alarmAt
      throw error
    }
  }

  /** Sets the alarm for the next due time. @returns What is left to do after the transaction. */
  #setAlarmForNext(now: number): { readonly isEmpty: boolean; readonly hasGarbage: boolean } {
    const hasGarbage = this.#hasGarbage()
    // Garbage in the R2 bucket is deleted now, and by the alarm if that fails.
    const sweepAt = hasGarbage ? now + SWEEP_RETRY_MS : null
    const cleanUpAt = this.cleanUpAt(now)
    const events = this.#lanes.left(now)
    const times = [sweepAt, cleanUpAt, this.#leftDueAt()].filter((at) => at !== null)
    const alarmAt = Math.min(this.#records.dueAt(), events.dueAt, ...times)
    const isLeft = times.length > 0 || !events.isEmpty || !this.#records.isEmpty()
    const isEmpty = !isLeft && this.#tables.areThere
    if (isLeft) this.#records.deleteForgotten()
    // An alarm for this very millisecond, set inside an alarm, would be lost (workerd#6866).
    if (alarmAt < Infinity) this.#setAlarm(Math.max(alarmAt, now + 1), now)
    else if (!isEmpty) this.#deleteAlarm()
    return { isEmpty, hasGarbage }
  }

  #hasGarbage(): boolean {
    if (!this.#tables.has('garbage')) return false
    return this.#tables.sql.exec('SELECT 1 FROM garbage LIMIT 1').toArray().length > 0
  }

  /** When the next body is looked at that is to be deleted and is still read; `null`: there is none. */
  #leftDueAt(): number | null {
    if (!this.#tables.has('left_body')) return null
    const sql = 'SELECT min(due_at) AS due FROM left_body'
    return this.#tables.sql.exec<{ due: number | null }>(sql).one().due
  }

  /** Sets the alarm for the next due time, even if this instance believes that it is set. */
  setAlarmAgain(): void {
    this.runInAlarm(() => {})
  }

  /** Lets the alarm come at this time at the latest. @param at Epoch milliseconds. */
  async postponeAlarm(at: number): Promise<void> {
    // It may be set for something else before.
    const isSooner = this.#alarmAt !== null && this.#alarmAt > Date.now() && this.#alarmAt <= at
    if (isSooner) return
    this.#alarmAt = at
    await this.#storage.setAlarm(at)
  }

  /** Each setting is billed as a row, so an alarm that comes at a suitable time is not set again. */
  #setAlarm(at: number, now: number): void {
    if (this.#alarmAt !== null && this.#isEnough(this.#alarmAt, at, now)) return
    this.#alarmAt = at
    void this.#followAlarm(this.#storage.setAlarm(at))
  }

  #isEnough(alarmAt: number, at: number, now: number): boolean {
    if (isSoonEnough(alarmAt, at, now)) return true
    // An earlier one finds out what is due then. One that is far overdue does not come any more.
    return this.#isShared && alarmAt < at && alarmAt > now - OVERDUE_MS
  }

  /** Everything that is stored waits for a request, not for a time. */
  #deleteAlarm(): void {
    if (this.#alarmAt === null) return
    this.#alarmAt = null
    void this.#followAlarm(this.#storage.deleteAlarm())
  }

  /** The platform reports its own faults after the transaction. The next change sets the alarm again. */
  async #followAlarm(set: Promise<void>): Promise<void> {
    try {
      await set
    } catch (error) {
      this.#alarmAt = null
      logFault('an alarm could not be set; the next change of the object sets it', error)
    }
  }

  /** If that fails, the storage stays empty, or is given back later. */
  #deleteAll(): void {
    this.#alarmAt = null
    this.#records.reload()
    this.#tables.deleteAll().catch((error: unknown) => {
      logFault('an empty storage could not be given back', error)
    })
  }
}
