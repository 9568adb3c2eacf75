import { isDue, lazyDueAt } from '../core/operation/due.ts'
import { isSettled, type OperationRecord, parseRecord } from '../core/operation/record.ts'
import type { DueRecord, RecordStore } from './record-store.ts'
import type { Tables } from './tables.ts'

/** A body up to this length is kept in memory with its record, and a replay reads nothing. */
const KEPT_BYTES = 4_096

interface Row {
  readonly record: OperationRecord
  readonly dueAt: number | null
  /** The body beside it; absent if memory does not hold it. */
  readonly body?: Uint8Array<ArrayBuffer> | null
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
    const known = rows.get(id)
    // Only the time at which the alarm comes has changed.
    if (known?.record === record) return void rows.set(id, { ...known, dueAt })
    const text = JSON.stringify(record)
    this.#tables.requireOperations()
    const { sql } = this.#tables
    if (known !== undefined && body === undefined && isSettled(record)) {
      sql.exec('UPDATE operation SET record = ?, due_at = ? WHERE id = ?', text, dueAt, id)
      rows.set(id, { ...known, record, dueAt })
    } else {
      const into = 'INSERT OR REPLACE INTO operation (id, record, due_at, body) VALUES (?, ?, ?, ?)'
      const beside = body ?? null
      sql.exec(into, id, text, dueAt, beside)
      rows.set(id, { record, dueAt, ...(isKept(beside) && { body: beside && beside.slice() }) })
    }
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
    if (body === undefined) return this.#select(id)
    if (isKept(body)) return body && body.slice()
    // It was read with its record, and is given away.
    this.#known().set(id, rest)
    return body
  }

  #select(id: string): Uint8Array<ArrayBuffer> | null {
    const sql = 'SELECT * FROM operation WHERE id = ?'
    return toBytes(this.#tables.sql.exec<StoredRow>(sql, id).one())
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
      rows.map((row) => [
        row.id,
        { record: parseRecord(row.record), dueAt: row.due_at, body: toBytes(row) },
      ]),
    )
  }
}

function toBytes({ body = null }: StoredRow): Uint8Array<ArrayBuffer> | null {
  return body && new Uint8Array(body)
}

/** Whether memory holds a body for every replay. Its readers get copies, since they may take the buffer. */
const isKept = (body: Uint8Array | null) => body === null || body.byteLength <= KEPT_BYTES
