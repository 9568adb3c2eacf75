import type { OperationRecord } from '../core/record.ts'

interface Row extends Record<string, SqlStorageValue> {
  record: string
}

interface Part extends Record<string, SqlStorageValue> {
  bytes: ArrayBuffer
}

/** Whose body a piece belongs to: the stored request's, or the snapshot's. */
export type BodyOf = 'request' | 'response'

/** Largest piece of a body in one row. The platform documents 2 MB for a row and enforces more or less. */
const PART_BYTES = 1_048_576

/**
 * The operations of one object, in SQLite. Synchronous, so that it composes in a transaction.
 *
 * Tables are made at the first write, not in the constructor: an object that was only asked about
 * should not begin to occupy storage, and `deleteAll` leaves the instance alive without them.
 */
export class RecordStore {
  readonly #storage: DurableObjectStorage
  #hasTables = false

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
  }

  /** Runs a read-decide-write as one: all of it is stored, or nothing. */
  transaction<result>(work: () => result): result {
    try {
      return this.#storage.transactionSync(work)
    } catch (error) {
      // What was rolled back may have been the tables.
      this.#hasTables = false
      throw error
    }
  }

  read(operationId: string): OperationRecord | null {
    if (!this.#isThere()) return null
    const [row] = this.#sql.exec<Row>('SELECT record FROM operation WHERE id = ?', operationId)
    return row === undefined ? null : (JSON.parse(row.record) as OperationRecord)
  }

  /** @param dueAt Epoch milliseconds at which the alarm has something to do for it, or `null`. */
  write(operationId: string, record: OperationRecord, dueAt: number | null): void {
    this.#createTables()
    this.#sql.exec(
      'INSERT OR REPLACE INTO operation (id, record, due_at) VALUES (?, ?, ?)',
      operationId,
      JSON.stringify(record),
      dueAt,
    )
  }

  delete(operationId: string): void {
    this.#sql.exec('DELETE FROM operation WHERE id = ?', operationId)
    this.deleteBody(operationId, 'request')
    this.deleteBody(operationId, 'response')
  }

  writeBody(operationId: string, of: BodyOf, body: Uint8Array): void {
    for (let part = 0; part * PART_BYTES < body.byteLength; part++) {
      this.#sql.exec(
        'INSERT INTO body (operation_id, belongs_to, part, bytes) VALUES (?, ?, ?, ?)',
        operationId,
        of,
        part,
        body.slice(part * PART_BYTES, (part + 1) * PART_BYTES),
      )
    }
  }

  /** @returns One piece of the body, or `null` behind its end. */
  readBodyPart(operationId: string, of: BodyOf, part: number): Uint8Array<ArrayBuffer> | null {
    if (!this.#isThere()) return null
    const [row] = this.#sql.exec<Part>(
      'SELECT bytes FROM body WHERE operation_id = ? AND belongs_to = ? AND part = ?',
      operationId,
      of,
      part,
    )
    return row === undefined ? null : new Uint8Array(row.bytes)
  }

  deleteBody(operationId: string, of: BodyOf): void {
    this.#sql.exec('DELETE FROM body WHERE operation_id = ? AND belongs_to = ?', operationId, of)
  }

  /** Operations for which the alarm has something to do, at most `limit` of them. */
  listDue(now: number, limit: number): { readonly id: string; readonly record: OperationRecord }[] {
    if (!this.#isThere()) return []
    const rows = this.#sql.exec<Row & { id: string }>(
      'SELECT id, record FROM operation WHERE due_at <= ? ORDER BY due_at LIMIT ?',
      now,
      limit,
    )
    return Array.from(rows, ({ id, record }) => ({
      id,
      record: JSON.parse(record) as OperationRecord,
    }))
  }

  /** How many operations are stored, and the epoch milliseconds at which the next one is due. */
  summary(): { readonly count: number; readonly dueAt: number | null } {
    if (!this.#isThere()) return { count: 0, dueAt: null }
    const query = 'SELECT count(*) AS count, min(due_at) AS dueAt FROM operation'
    return this.#sql.exec<{ count: number; dueAt: number | null }>(query).one()
  }

  /** Whether anything was ever written, so that there is something to give back. */
  get hasTables(): boolean {
    return this.#hasTables
  }

  /** Gives the whole storage back, the alarm included. */
  async deleteAll(): Promise<void> {
    this.#hasTables = false
    await this.#storage.deleteAll()
  }

  get #sql(): SqlStorage {
    return this.#storage.sql
  }

  #isThere(): boolean {
    this.#hasTables ||=
      this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'operation'").toArray().length > 0
    return this.#hasTables
  }

  #createTables(): void {
    if (this.#hasTables) return
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS operation (
        id TEXT PRIMARY KEY,
        record TEXT NOT NULL,
        due_at INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS body (
        operation_id TEXT NOT NULL,
        belongs_to TEXT NOT NULL,
        part INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (operation_id, belongs_to, part)
      ) STRICT, WITHOUT ROWID;`)
    this.#hasTables = true
  }
}
