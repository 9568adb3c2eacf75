import { logFault } from '../metrics/log.ts'
import type { EventLanes } from './event-lanes.ts'
import type { Tables } from './tables.ts'

/** Pause before pieces that could not be deleted in the bucket are tried again, in milliseconds. */
const SWEEP_RETRY_MS = 60_000

/** Changes what an object stores, together with its alarm: one transaction sets both. */
export class Transactions {
  readonly #storage: DurableObjectStorage
  readonly #tables: Tables
  readonly #lanes: EventLanes
  /** Called when something is to be deleted in the bucket. */
  onGarbage = () => {}
  /** The alarm that this instance has set, in epoch milliseconds. */
  #alarmAt: number | null = null

  constructor(storage: DurableObjectStorage, tables: Tables, lanes: EventLanes) {
    this.#storage = storage
    this.#tables = tables
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
      // An alarm that was set in it is rolled back as well.
      this.#alarmAt = alarmAt
      throw error
    }
  }

  /** Sets the alarm for the next due time. @returns What is left to do after the transaction. */
  #setAlarmForNext(now: number): { readonly isEmpty: boolean; readonly hasGarbage: boolean } {
    const { operationCount, garbageCount, leftCount, dueAt } = this.#tables.summary()
    const events = this.#lanes.left(now)
    const hasGarbage = garbageCount > 0
    // Garbage in the bucket is deleted now, and by the alarm if that fails.
    const sweepAt = hasGarbage ? now + SWEEP_RETRY_MS : Infinity
    const alarmAt = Math.min(dueAt ?? Infinity, sweepAt, events.dueAt)
    const count = operationCount + garbageCount + leftCount
    const isEmpty = count === 0 && events.isEmpty && this.#tables.areThere()
    // An alarm for this very millisecond, set inside an alarm, would be lost (workerd#6866).
    if (alarmAt < Infinity) this.#setAlarm(Math.max(alarmAt, now + 1))
    else if (!isEmpty) this.#deleteAlarm()
    return { isEmpty, hasGarbage }
  }

  /** Sets the alarm for the next due time, even if this instance believes that it is set. */
  setAlarmAgain(): void {
    this.runInAlarm(() => {})
  }

  /** Sets the alarm for the next due time if the platform has given it up. If that fails, the next change sets it. */
  keepAlarm(): void {
    try {
      this.run(() => {})
    } catch (error) {
      logFault('an alarm could not be set', error)
    }
  }

  /** Lets the alarm come at this time at the latest. @param at Epoch milliseconds. */
  async postponeAlarm(at: number): Promise<void> {
    // It may be set for something else before.
    const isSooner = this.#alarmAt !== null && this.#alarmAt > Date.now() && this.#alarmAt <= at
    if (isSooner) return
    this.#alarmAt = at
    await this.#storage.setAlarm(at)
  }

  /** Each setting is billed as a row, so the same time is not set twice. */
  #setAlarm(at: number): void {
    if (this.#alarmAt === at) return
    this.#alarmAt = at
    void this.#followAlarm(this.#storage.setAlarm(at))
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
    this.#tables.deleteAll().catch((error: unknown) => {
      logFault('an empty storage could not be given back', error)
    })
  }
}
