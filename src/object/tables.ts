import { dueAt } from '../core/operation/due.ts'
import type { OperationRecord } from '../core/operation/record.ts'

/** Names the events with one operation and one recipient. There is an index of it, which this must match. */
export const LANE = `operation_id || json_extract(head, '$.recipient')`

interface Summary extends Record<string, SqlStorageValue> {
  operationCount: number
  /** Keys in the bucket that are to be deleted there. */
  garbageCount: number
  /** Bodies that belong to nothing any more, and that somebody still read when they were to go. */
  leftCount: number
  /** When a record or a left body is due, in epoch milliseconds. */
  dueAt: number | null
}

/**
 * The SQLite tables of one object. Synchronous, so that work on them composes in a transaction.
 *
 * They are created at the first write, not in the constructor: an object that is only asked about
 * should not occupy storage, and after `deleteAll` the instance lives on without them.
 */
export class Tables {
  readonly #storage: DurableObjectStorage
  #areKnown = false

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
  }

  get sql(): SqlStorage {
    return this.#storage.sql
  }

  /** Runs a read-decide-write as one: all of it is stored, or nothing. */
  transaction<result>(work: () => result): result {
    try {
      return this.#storage.transactionSync(work)
    } catch (error) {
      // The creation of the tables may have been rolled back.
      this.#areKnown = false
      throw error
    }
  }

  /** Whether anything was ever written: only then there is something to read, or to give back. */
  areThere(): boolean {
    if (this.#areKnown) return true
    const sql = "SELECT 1 FROM sqlite_master WHERE name = 'operation'"
    // An object of an earlier version does not have all of them.
    if (this.sql.exec(sql).toArray().length > 0) this.create()
    return this.#areKnown
  }

  /** Makes those that are missing. */
  create(): void {
    if (this.#areKnown) return
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS operation (
        id TEXT PRIMARY KEY,
        record TEXT NOT NULL,
        due_at INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS body (
        operation_id TEXT NOT NULL,
        belongs_to TEXT NOT NULL,
        part INTEGER NOT NULL,
        bytes BLOB,
        spill_key TEXT,
        PRIMARY KEY (operation_id, belongs_to, part)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS event (
        sequence INTEGER PRIMARY KEY,
        operation_id TEXT NOT NULL,
        head TEXT NOT NULL,
        bytes BLOB NOT NULL,
        failures INTEGER NOT NULL,
        due_at INTEGER NOT NULL
      ) STRICT;
      CREATE INDEX IF NOT EXISTS event_lane ON event (${LANE});
      CREATE TABLE IF NOT EXISTS left_body (
        operation_id TEXT NOT NULL,
        belongs_to TEXT NOT NULL,
        due_at INTEGER NOT NULL,
        PRIMARY KEY (operation_id, belongs_to)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS garbage (spill_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;`)
    this.#areKnown = true
  }

  /** Counts what is stored, except events, and says when it is due. */
  summary(): Summary {
    if (!this.areThere()) return { operationCount: 0, garbageCount: 0, leftCount: 0, dueAt: null }
    return this.sql
      .exec<Summary>(
        `SELECT count(*) AS operationCount,
          (SELECT min(due_at) FROM (
            SELECT due_at FROM operation UNION ALL SELECT due_at FROM left_body
          )) AS dueAt,
          (SELECT count(*) FROM garbage) AS garbageCount,
          (SELECT count(*) FROM left_body) AS leftCount
        FROM operation`,
      )
      .one()
  }

  /** Gives the whole storage back, the alarm included. */
  async deleteAll(): Promise<void> {
    this.#areKnown = false
    await this.#storage.deleteAll()
  }
}

interface RecordRow extends Record<string, SqlStorageValue> {
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
    const [row] = this.#tables.sql.exec<RecordRow>(
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
    const rows = this.#tables.sql.exec<RecordRow & { id: string }>(
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
