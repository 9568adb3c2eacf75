import { isDue, lazyDueAt } from '../core/operation/due.ts'
import { type OperationRecord, parseRecord } from '../core/operation/record.ts'
import type { Tables } from './tables.ts'

/** A record that the alarm is to look at. */
export interface DueRecord {
  readonly id: string
  readonly record: OperationRecord
}

/** The records of an object, and the small bodies beside them. */
export interface RecordStore {
  read(id: string): OperationRecord | null
  /**
   * Stores a record, with the time at which the alarm has something to do for it.
   *
   * @param body The body beside it, or `null`. Without it, a result keeps the body that it has.
   */
  write(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): void
  delete(id: string): void
  /** The body beside a record. */
  readBody(id: string): Uint8Array<ArrayBuffer> | null
  /** From now on the alarm looks after a claim, and not only at the end of retention. */
  watch(id: string, now: number): void
  /** Records for which the alarm has something to do, at most `limit` of them. */
  listDue(now: number, limit: number): DueRecord[]
  /** Epoch milliseconds at which the alarm has something to do; `Infinity`: never. */
  dueAt(): number
  isEmpty(): boolean
  /** Forgets what memory holds: a transaction was rolled back. */
  reload(): void
}

/** Whether a record has a response, whose body may stand beside it. */
const isResult = ({ state }: OperationRecord) => state === 'succeeded' || state === 'failed'

interface Row {
  readonly record: OperationRecord
  readonly dueAt: number | null
}

interface StoredRow extends Record<string, SqlStorageValue> {
  id: string
  record: string
  due_at: number | null
}

/**
 * The record of an object that guards one operation: a row with the record as JSON. Memory holds what
 * is in the table, since nobody else writes it.
 */
export class RecordTable implements RecordStore {
  readonly #tables: Tables
  #rows: Map<string, Row> | null = null

  constructor(tables: Tables) {
    this.#tables = tables
  }

  read(id: string): OperationRecord | null {
    return this.#known().get(id)?.record ?? null
  }

  write(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): void {
    const rows = this.#known()
    const dueAt = lazyDueAt(record, now)
    const text = JSON.stringify(record)
    this.#tables.requireOperations()
    const { sql } = this.#tables
    if (rows.has(id) && body === undefined && isResult(record)) {
      sql.exec('UPDATE operation SET record = ?, due_at = ? WHERE id = ?', text, dueAt, id)
    } else {
      const into = 'INSERT OR REPLACE INTO operation (id, record, due_at, body) VALUES (?, ?, ?, ?)'
      sql.exec(into, id, text, dueAt, body ?? null)
    }
    rows.set(id, { record, dueAt })
  }

  delete(id: string): void {
    if (!this.#known().delete(id)) return
    this.#tables.sql.exec('DELETE FROM operation WHERE id = ?', id)
  }

  readBody(id: string): Uint8Array<ArrayBuffer> | null {
    if (!this.#known().has(id)) return null
    const { body } = this.#tables.sql
      .exec<{ body?: ArrayBuffer | null }>('SELECT * FROM operation WHERE id = ?', id)
      .one()
    return body ? new Uint8Array(body) : null
  }

  watch(id: string, now: number): void {
    const row = this.#known().get(id)
    if (row?.record.state !== 'in_progress') return
    this.#known().set(id, { ...row, dueAt: lazyDueAt(row.record, now) })
  }

  listDue(now: number, limit: number): DueRecord[] {
    const rows = [...this.#known()].map(([id, { record, dueAt }]) => ({ id, record, dueAt }))
    return rows.filter(({ record, dueAt }) => isDue(record, dueAt, now)).slice(0, limit)
  }

  dueAt(): number {
    const times = Array.from(this.#known().values(), ({ dueAt }) => dueAt ?? Infinity)
    return Math.min(...times)
  }

  isEmpty(): boolean {
    return this.#known().size === 0
  }

  reload(): void {
    this.#rows = null
  }

  #known(): Map<string, Row> {
    return (this.#rows ??= this.#load())
  }

  #load(): Map<string, Row> {
    if (!this.#tables.has('operation')) return new Map()
    const rows = this.#tables.sql.exec<StoredRow>('SELECT id, record, due_at FROM operation')
    return new Map(
      Array.from(rows, ({ id, record, due_at: dueAt }) => [
        id,
        { record: parseRecord(record), dueAt },
      ]),
    )
  }
}
