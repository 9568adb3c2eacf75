import { dueAt } from '../core/operation/due.ts'
import type { OperationRecord } from '../core/operation/record.ts'
import { adoptEvents, createEventTable } from './event-rows.ts'

interface Summary extends Record<string, SqlStorageValue> {
  operationCount: number
  /** Keys in the bucket that are to be deleted there. */
  garbageCount: number
  /** Bodies that belong to nothing any more, and that somebody still read when they were to go. */
  leftCount: number
  /** When a record or a left body is due, in epoch milliseconds. */
  dueAt: number | null
}

/** What there is of the tables. */
type Known = 'nothing' | 'no events' | 'events'

/**
 * The SQLite tables of one object. Synchronous, so that work on them composes in a transaction.
 *
 * They are created at the first write, not in the constructor: an object that is only asked about
 * should not occupy storage, and after `deleteAll` the instance lives on without them.
 */
export class Tables {
  readonly #storage: DurableObjectStorage
  /** `null` before the first look. */
  #known: Known | null = null

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
      this.#known = null
      throw error
    }
  }

  /** Whether anything was ever written: only then there is something to read, or to give back. */
  areThere(): boolean {
    this.#known ??= this.#look()
    return this.#known !== 'nothing'
  }

  /** Makes those that are missing, except that of events. */
  create(): void {
    if (this.areThere()) return
    this.#create()
    this.#known = 'no events'
  }

  /** Whether an event was ever stored. Without any, nothing is read for them. */
  haveEvents(): boolean {
    this.#known ??= this.#look()
    return this.#known === 'events'
  }

  /** Makes the table of events if it is missing. */
  createEvents(): void {
    this.create()
    if (this.#known === 'events') return
    createEventTable(this.sql)
    this.#known = 'events'
  }

  #look(): Known {
    const rows = this.sql.exec<{ name: string }>('SELECT name FROM sqlite_master')
    const names = new Set(Array.from(rows, ({ name }) => name))
    if (!names.has('operation')) return 'nothing'
    // An object of an earlier version does not have all of them.
    this.#create()
    if (!names.has('event')) return 'no events'
    this.#storage.transactionSync(() => adoptEvents(this.sql, names))
    return 'events'
  }

  #create(): void {
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
      CREATE TABLE IF NOT EXISTS left_body (
        operation_id TEXT NOT NULL,
        belongs_to TEXT NOT NULL,
        due_at INTEGER NOT NULL,
        PRIMARY KEY (operation_id, belongs_to)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS garbage (spill_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;`)
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
    this.#known = null
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
