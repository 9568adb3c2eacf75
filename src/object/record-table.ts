import { isDue, lazyDueAt } from '../core/operation/due.ts'
import { isSettled, type OperationRecord, parseRecord } from '../core/operation/record.ts'
import type { DueRecord, RecordStore } from './record-store.ts'
import type { Tables } from './tables.ts'

interface Row {
  readonly record: OperationRecord
  readonly dueAt: number | null
  /** The body beside it, as far as it was read with it; it is often asked for next. */
  readonly body?: ArrayBuffer | null | undefined
}

interface StoredRow extends Record<string, SqlStorageValue> {
  id: string
  record: string
  due_at: number | null
  /** Absent in a table of an earlier version. */
  body?: ArrayBuffer | null
}

/**
 * The record of an object that guards one operation: a row with the record as JSON. Memory holds what
 * is in the table, since nobody else writes it.
 */
export class RecordTable implements RecordStore {
  readonly #tables: Tables
  #rows: Map<string, Row> | null = null
  /** Records of this transaction whose rows are still there. */
  #forgotten: string[] = []

  constructor(tables: Tables) {
    this.#tables = tables
  }

  read(id: string): OperationRecord | null {
    return this.#known().get(id)?.record ?? null
  }

  write(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): void {
    const rows = this.#known()
    const dueAt = lazyDueAt(record, now)
    // Only the time at which the alarm comes has changed.
    if (rows.get(id)?.record === record) return void rows.set(id, { record, dueAt })
    const text = JSON.stringify(record)
    this.#tables.requireOperations()
    const { sql } = this.#tables
    if (rows.has(id) && body === undefined && isSettled(record)) {
      sql.exec('UPDATE operation SET record = ?, due_at = ? WHERE id = ?', text, dueAt, id)
    } else {
      const into = 'INSERT OR REPLACE INTO operation (id, record, due_at, body) VALUES (?, ?, ?, ?)'
      sql.exec(into, id, text, dueAt, body ?? null)
    }
    rows.set(id, { record, dueAt })
  }

  delete(id: string): void {
    if (this.#known().delete(id)) this.#deleteRow(id)
  }

  #deleteRow(id: string): void {
    this.#tables.sql.exec('DELETE FROM operation WHERE id = ?', id)
  }

  /** Every deleted row is billed, and that of the last record goes with the storage. */
  forget(id: string): void {
    if (this.#known().delete(id)) this.#forgotten.push(id)
  }

  deleteForgotten(): void {
    for (const id of this.#forgotten.splice(0)) this.#deleteRow(id)
  }

  readBody(id: string): Uint8Array<ArrayBuffer> | null {
    const row = this.#known().get(id)
    if (row === undefined) return null
    const { body, ...rest } = row
    // It is given away once: memory keeps no bodies.
    if (body !== undefined) this.#known().set(id, rest)
    const stored = body === undefined ? this.#select(id) : body
    return stored && new Uint8Array(stored)
  }

  #select(id: string): ArrayBuffer | null {
    const sql = 'SELECT * FROM operation WHERE id = ?'
    return this.#tables.sql.exec<StoredRow>(sql, id).one().body ?? null
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

  /** Every record has its own time. */
  dropEnded(): boolean {
    return false
  }

  dueAt(): number {
    const times = Array.from(this.#known().values(), ({ dueAt }) => dueAt ?? Infinity)
    return Math.min(...times)
  }

  isEmpty(): boolean {
    return this.#known().size === 0
  }

  reload(): void {
    this.#forgotten = []
    this.#rows = null
  }

  #known(): Map<string, Row> {
    return (this.#rows ??= this.#load())
  }

  #load(): Map<string, Row> {
    if (!this.#tables.has('operation')) return new Map()
    const rows = this.#tables.sql.exec<StoredRow>('SELECT * FROM operation').toArray()
    return new Map(
      rows.map(({ id, record, due_at: dueAt, body = null }) => [
        id,
        { record: parseRecord(record), dueAt, body },
      ]),
    )
  }
}
