import type { OperationRecord } from '../core/operation/record.ts'

/** A record that the alarm is to look at. */
export interface DueRecord {
  readonly id: string
  readonly record: OperationRecord
}

/** The records of an object, and the small bodies beside them. `RecordTable` is for one operation, `RecordBuckets` for a shard. */
export interface RecordStore {
  read(id: string): OperationRecord | null
  /**
   * Stores a record, with the time at which the alarm has something to do for it.
   *
   * @param body The body beside it, or `null`. Without it, a result keeps the body that it has.
   */
  write(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): void
  delete(id: string): void
  /** Deletes a record. Its row may stay until `deleteForgotten`, or until the storage is given back. */
  forget(id: string): void
  /** Deletes the rows of forgotten records, at the end of a transaction behind which something is left. */
  deleteForgotten(): void
  /** The body beside a record. */
  readBody(id: string): Uint8Array<ArrayBuffer> | null
  /** From now on the alarm looks after a claim, and not only at the end of retention. */
  watch(id: string, now: number): void
  /** Records for which the alarm has something to do, at most `limit` of them. The caller writes or deletes each. */
  listDue(now: number, limit: number): DueRecord[]
  /**
   * Deletes what is kept no longer, where that is done for many records at once.
   *
   * @param inUse Operations whose result is still read by its own client.
   * @returns Whether anything was deleted.
   */
  dropEnded(now: number, inUse: readonly string[]): boolean
  /** Epoch milliseconds at which the alarm has something to do, or sooner; `Infinity`: never. */
  dueAt(): number
  isEmpty(): boolean
  /** Forgets what memory holds: a transaction was rolled back. */
  reload(): void
}
