import { dueAt } from '../core/due.ts'
import type { OperationRecord } from '../core/record.ts'
import type { Tables } from './tables.ts'

interface Row extends Record<string, SqlStorageValue> {
  record: string
}

/** The records of an object: one row for each operation, the record as JSON in it. */
export class RecordTable {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  read(operationId: string): OperationRecord | null {
    if (!this.#tables.areThere()) return null
    const [row] = this.#tables.sql.exec<Row>(
      'SELECT record FROM operation WHERE id = ?',
      operationId,
    )
    return row === undefined ? null : (JSON.parse(row.record) as OperationRecord)
  }

  /** Stores a record, with the time at which the alarm has something to do for it. */
  write(operationId: string, record: OperationRecord, now: number): void {
    this.#tables.create()
    this.#tables.sql.exec(
      'INSERT OR REPLACE INTO operation (id, record, due_at) VALUES (?, ?, ?)',
      operationId,
      JSON.stringify(record),
      dueAt(record, now),
    )
  }

  delete(operationId: string): void {
    this.#tables.sql.exec('DELETE FROM operation WHERE id = ?', operationId)
  }

  /** Operations for which the alarm has something to do, at most `limit` of them. */
  listDue(now: number, limit: number): { readonly id: string; readonly record: OperationRecord }[] {
    if (!this.#tables.areThere()) return []
    const rows = this.#tables.sql.exec<Row & { id: string }>(
      'SELECT id, record FROM operation WHERE due_at <= ? ORDER BY due_at LIMIT ?',
      now,
      limit,
    )
    return Array.from(rows, ({ id, record }) => ({
      id,
      record: JSON.parse(record) as OperationRecord,
    }))
  }
}
