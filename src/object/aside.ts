import { dueAt } from '../core/operation/due.ts'
import { type OperationRecord, parseIfKnown, parseRecord } from '../core/operation/record.ts'
import type { DueRecord } from './record-store.ts'
import type { Tables } from './tables.ts'

const INDEX = 'operation_due'
const CREATE_INDEX = `CREATE INDEX IF NOT EXISTS ${INDEX} ON operation (due_at)`

interface Row extends Record<string, SqlStorageValue> {
  id: string
  record: string
}

/**
 * The records of a shard that do not go with their bucket: their outcome is unknown, or the number of
 * their id is taken. Each has its own time, so they have an index.
 */
export class Aside {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  find(id: string): OperationRecord | null {
    if (!this.#isThere) return null
    const sql = 'SELECT record FROM operation WHERE id = ?'
    const [row] = this.#tables.sql.exec<Pick<Row, 'record'>>(sql, id)
    return row === undefined ? null : parseRecord(row.record)
  }

  readBody(id: string): ArrayBuffer | null {
    const sql = 'SELECT body FROM operation WHERE id = ?'
    return this.#tables.sql.exec<{ body: ArrayBuffer | null }>(sql, id).one().body
  }

  /**
   * Stores a record.
   *
   * @param body Without it, the record keeps the body that it has.
   * @returns Epoch milliseconds at which the alarm has something to do for it, or `null`: never.
   */
  write(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): number | null {
    const due = dueAt(record, now)
    const text = JSON.stringify(record)
    this.#tables.requireOperations()
    if (!this.#tables.has(INDEX)) this.#tables.create(INDEX, CREATE_INDEX)
    const kept = body === undefined ? '' : ', body = excluded.body'
    this.#tables.sql.exec(
      `INSERT INTO operation (id, record, due_at, body) VALUES (?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET record = excluded.record, due_at = excluded.due_at${kept}`,
      id,
      text,
      due,
      body ?? null,
    )
    return due
  }

  delete(id: string): void {
    this.#tables.sql.exec('DELETE FROM operation WHERE id = ?', id)
  }

  listDue(now: number, limit: number): DueRecord[] {
    if (!this.#isThere) return []
    const sql = 'SELECT id, record FROM operation WHERE due_at <= ? ORDER BY due_at LIMIT ?'
    const rows = this.#tables.sql.exec<Row>(sql, now, limit)
    return rows.toArray().flatMap(({ id, record: text }) => {
      const record = parseIfKnown(text)
      return record === null ? [] : [{ id, record }]
    })
  }

  /** When the next one is due after a time; `Infinity`: never. */
  dueAfter(time: number): number {
    if (!this.#isThere) return Infinity
    const sql = 'SELECT min(due_at) AS due FROM operation WHERE due_at > ?'
    return this.#tables.sql.exec<{ due: number | null }>(sql, time).one().due ?? Infinity
  }

  isEmpty(): boolean {
    if (!this.#isThere) return true
    return this.#tables.sql.exec('SELECT 1 FROM operation LIMIT 1').toArray().length === 0
  }

  get #isThere(): boolean {
    return this.#tables.has('operation')
  }
}
