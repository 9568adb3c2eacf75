import type { Destination } from '../core/destination.ts'
import type { Death } from '../core/event-delivery.ts'
import { DELIVERY_RETRY, type DeliveryRetry } from '../core/event.ts'
import type { Generation, OperationRecord } from '../core/record.ts'

interface Row extends Record<string, SqlStorageValue> {
  record: string
}

interface Part extends Record<string, SqlStorageValue> {
  bytes: ArrayBuffer | null
  spill_key: string | null
}

/** A piece that is not in its row but in the bucket, under this key. */
export interface SpilledPiece {
  readonly spillKey: string
}

/** Which body of an operation: its stored request, or an answer. */
export type BodyOf = 'request' | AnswerBody

/** An answer of an operation. An earlier version stored one at a time, under the same name always. */
export type AnswerBody = Generation | 'response'

/** Pieces that are to be stored, the first of them under this number. */
export interface Pieces {
  readonly firstPart: number
  readonly pieces: readonly (Uint8Array | SpilledPiece)[]
}

/** Pieces of an answer that are to be stored. */
export interface UnstoredBody extends Pieces {
  readonly generation: Generation
}

/** Names one stored answer. */
export interface BodyRef {
  readonly operationId: string
  readonly body: AnswerBody
}

/** Names an answer that is about to be stored. */
export const createGeneration = (): Generation => `answer:${crypto.randomUUID()}`

/** Where an event goes: out, or to the list of what an operator should look at. */
type Recipient = Destination | { readonly to: 'directory' }

/** The first event of those with one operation and one recipient: only it may be delivered. */
export interface EventHead {
  /** Names the operation and the recipient. */
  readonly lane: string
  readonly recipient: Recipient
  /** Orders the events of an object; together with the operation it names one. */
  readonly sequence: number
  /** Epoch milliseconds before which it is not tried. */
  readonly dueAt: number
  /** Why it is not delivered any more: it waits to become a dead letter. */
  readonly death?: Death
}

/** An event that waits for its delivery. */
export interface PendingEvent extends EventHead {
  readonly operationId: string
  readonly retry: DeliveryRetry
  /** As `toStoredBytes` writes it. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Tries that have failed: deliveries, and those to put it where a dead letter is kept. */
  readonly failures: number
}

export type NewEvent = Omit<PendingEvent, 'lane' | 'sequence' | 'failures' | 'death'> & {
  /** Of a notice: whether the operator's list may hold its operation already. */
  readonly mayBeListed?: boolean
}

interface HeadRow extends Record<string, SqlStorageValue> {
  lane: string
  sequence: number
  head: string
  due_at: number
}

interface EventRow extends HeadRow {
  operation_id: string
  bytes: ArrayBuffer
  failures: number
}

/** How much is stored, and what is to be done next. */
export interface StoreSummary {
  readonly operationCount: number
  /** Keys in the bucket that are to be deleted there. */
  readonly garbageCount: number
  /** Bodies that belong to nothing any more, and that somebody still read when they were to go. */
  readonly leftCount: number
  /** When something is due to what is no event, in epoch milliseconds. */
  readonly dueAt: number | null
  readonly heads: readonly EventHead[]
}

/**
 * Largest piece of a body, each in a row of its own: with what sealing adds it is below 1 MiB. The
 * platform documents 2 MB for a row and enforces more or less.
 */
export const PIECE_BYTES = 1_048_512

/** Names the events with one operation and one recipient. There is an index of it, which this must match. */
const LANE = `operation_id || json_extract(head, '$.recipient')`

/** The first event of each lane, found by the index: an object may hold thousands of events. */
const HEADS = `
  WITH RECURSIVE lanes (lane) AS (
    SELECT min(${LANE}) FROM event
    UNION ALL
    SELECT (SELECT min(${LANE}) FROM event WHERE ${LANE} > lane) FROM lanes WHERE lane IS NOT NULL
  )
  SELECT lane, sequence, head, due_at
  FROM lanes JOIN event ON sequence =
    (SELECT sequence FROM event WHERE ${LANE} = lane ORDER BY sequence LIMIT 1)`

/** What tells the operator's list of an operation. */
const NOTICES = `FROM event WHERE ${LANE} = ? || '{"to":"directory"}'`

/** A sequence may begin anew when everything was erased, so an event is named by what it is as well. */
const IS_THIS_EVENT = 'WHERE sequence = ? AND operation_id = ? AND bytes = ?'

const namesOf = ({ sequence, operationId, bytes }: PendingEvent) =>
  [sequence, operationId, bytes] as const

/** Cuts a body into pieces. */
export function toPieces(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let offset = 0; offset < bytes.byteLength; offset += PIECE_BYTES) {
    pieces.push(bytes.slice(offset, offset + PIECE_BYTES))
  }
  return pieces
}

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
  }

  writeBody(operationId: string, of: BodyOf, { firstPart, pieces }: Pieces): void {
    for (const [index, piece] of pieces.entries()) {
      const isInRow = piece instanceof Uint8Array
      this.#sql.exec(
        'INSERT INTO body (operation_id, belongs_to, part, bytes, spill_key) VALUES (?, ?, ?, ?, ?)',
        operationId,
        of,
        firstPart + index,
        isInRow ? piece : null,
        isInRow ? null : piece.spillKey,
      )
    }
  }

  /** @returns One piece of the body, or `null` behind its end. */
  readBodyPart(
    operationId: string,
    of: BodyOf,
    part: number,
  ): Uint8Array<ArrayBuffer> | SpilledPiece | null {
    if (!this.#isThere()) return null
    const [row] = this.#sql.exec<Part>(
      'SELECT bytes, spill_key FROM body WHERE operation_id = ? AND belongs_to = ? AND part = ?',
      operationId,
      of,
      part,
    )
    if (row === undefined) return null
    const { bytes, spill_key: spillKey } = row
    return spillKey === null ? new Uint8Array(bytes ?? new ArrayBuffer(0)) : { spillKey }
  }

  /** Whether each of the first so many pieces of a body is there. */
  hasParts(operationId: string, of: BodyOf, count: number): boolean {
    const sql = `SELECT count(*) AS there FROM body
      WHERE operation_id = ? AND belongs_to = ? AND part < ?`
    return this.#sql.exec<{ there: number }>(sql, operationId, of, count).one().there === count
  }

  /** The answers of an operation of which there are pieces: at most one is its result, the others are to go. */
  listAnswers(operationId: string): AnswerBody[] {
    if (!this.#isThere()) return []
    const rows = this.#sql.exec<{ belongs_to: AnswerBody }>(
      `SELECT DISTINCT belongs_to FROM body WHERE operation_id = ? AND belongs_to <> 'request'`,
      operationId,
    )
    return Array.from(rows, ({ belongs_to: body }) => body)
  }

  /** Notes that a body is to go, and is looked at again at `dueAt`: somebody reads it. */
  leaveBody({ operationId, body }: BodyRef, dueAt: number): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO left_body (operation_id, belongs_to, due_at) VALUES (?, ?, ?)',
      operationId,
      body,
      dueAt,
    )
  }

  /** Takes back that a body is to go. */
  keepBody({ operationId, body }: BodyRef): void {
    const sql = 'DELETE FROM left_body WHERE operation_id = ? AND belongs_to = ?'
    this.#sql.exec(sql, operationId, body)
  }

  /** Bodies that are to go and are to be looked at now, at most `limit` of them. */
  listLeft(now: number, limit: number): BodyRef[] {
    if (!this.#isThere()) return []
    const rows = this.#sql.exec<{ operation_id: string; belongs_to: AnswerBody }>(
      'SELECT operation_id, belongs_to FROM left_body WHERE due_at <= ? LIMIT ?',
      now,
      limit,
    )
    return Array.from(rows, (row) => ({ operationId: row.operation_id, body: row.belongs_to }))
  }

  /** What of it is in the bucket is left behind as garbage, for `listGarbage`. */
  deleteBody(operationId: string, of: BodyOf): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO garbage (spill_key) SELECT spill_key FROM body
        WHERE operation_id = ? AND belongs_to = ? AND spill_key IS NOT NULL`,
      operationId,
      of,
    )
    this.#sql.exec('DELETE FROM body WHERE operation_id = ? AND belongs_to = ?', operationId, of)
    if (of !== 'request') this.keepBody({ operationId, body: of })
  }

  /** Keys in the bucket that belong to nothing any more, at most `limit` of them. */
  listGarbage(limit: number): string[] {
    if (!this.#isThere()) return []
    const rows = this.#sql.exec<{ spill_key: string }>(
      'SELECT spill_key FROM garbage LIMIT ?',
      limit,
    )
    return Array.from(rows, ({ spill_key: spillKey }) => spillKey)
  }

  dropGarbage(spillKeys: readonly string[]): void {
    for (const spillKey of spillKeys) {
      this.#sql.exec('DELETE FROM garbage WHERE spill_key = ?', spillKey)
    }
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

  addEvent({ operationId, bytes, dueAt, ...head }: NewEvent): void {
    this.#createTables()
    this.#sql.exec(
      `INSERT INTO event (operation_id, sequence, head, bytes, failures, due_at)
        VALUES (?, (SELECT coalesce(max(sequence), 0) + 1 FROM event), ?, ?, 0, ?)`,
      operationId,
      JSON.stringify(head),
      bytes,
      dueAt,
    )
  }

  /**
   * Notes that the operator's list is to be brought up to date about an operation. There is one such
   * notice at the most, and a newer one does not wait behind an older: it is another row, of another
   * name, so that the end of a delivery that is under way takes off only its own.
   */
  replaceNotice(operationId: string, dueAt: number): void {
    this.#createTables()
    const [known] = this.#sql
      .exec<{ last: number | null }>(`SELECT max(sequence) AS last ${NOTICES}`, operationId)
      .toArray()
    const last = known?.last ?? null
    const bytes = new Uint8Array(new TextEncoder().encode(crypto.randomUUID()))
    const recipient = { to: 'directory' } as const
    // Before the older one goes, or it would get its number.
    const notice = { operationId, recipient, retry: DELIVERY_RETRY, bytes, dueAt }
    this.addEvent({ ...notice, mayBeListed: last !== null })
    this.#sql.exec(`DELETE ${NOTICES} AND sequence <= ?`, operationId, last)
  }

  /**
   * Takes back a notice that nobody has tried to deliver yet, where it is the first of its operation.
   *
   * @returns `false` where the list may hold the operation already.
   */
  dropEarlyNotice(operationId: string, now: number): boolean {
    const sql = `DELETE ${NOTICES} AND failures = 0 AND due_at > ?
      AND json_extract(head, '$.mayBeListed') = 0`
    return this.#sql.exec(sql, operationId, now).rowsWritten > 0
  }

  /** Of the events with one operation and one recipient the first. */
  listHeads(): EventHead[] {
    if (!this.#isThere()) return []
    return Array.from(this.#sql.exec<HeadRow>(HEADS), toHead)
  }

  readEvent(sequence: number): PendingEvent {
    const sql = `SELECT *, ${LANE} AS lane FROM event WHERE sequence = ?`
    const row = this.#sql.exec<EventRow>(sql, sequence).one()
    const { operation_id: operationId, failures } = row
    return { ...toHead(row), operationId, bytes: new Uint8Array(row.bytes), failures }
  }

  /** @returns `false` where it is there no more: its operation was erased while it was on its way. */
  postponeEvent(event: PendingEvent): boolean {
    const { recipient, retry, death, failures, dueAt } = event
    const head = JSON.stringify({ recipient, retry, death })
    const change = `UPDATE event SET head = ?, failures = ?, due_at = ? ${IS_THIS_EVENT}`
    const values = [head, failures, dueAt, ...namesOf(event)]
    return this.#isThere() && this.#sql.exec(change, ...values).rowsWritten > 0
  }

  /** @returns As for `postponeEvent`. */
  deleteEvent(event: PendingEvent): boolean {
    const change = `DELETE FROM event ${IS_THIS_EVENT}`
    return this.#isThere() && this.#sql.exec(change, ...namesOf(event)).rowsWritten > 0
  }

  /** Deletes what was to go out. A notice stays: it tells the operator's list that nothing is left. */
  deleteEvents(operationId: string): void {
    const sql = `DELETE FROM event WHERE operation_id = ?
      AND json_extract(head, '$.recipient.to') <> 'directory'`
    this.#sql.exec(sql, operationId)
  }

  /** Events of an operation that wait and go out of the deployment. */
  countEvents(operationId: string): number {
    if (!this.#isThere()) return 0
    const sql = `SELECT count(*) AS waiting FROM event
      WHERE operation_id = ? AND head NOT LIKE '%"to":"directory"%'`
    return this.#sql.exec<{ waiting: number }>(sql, operationId).one().waiting
  }

  /** What is stored, and what is due next. */
  summary(): StoreSummary {
    if (!this.#isThere()) {
      return { operationCount: 0, garbageCount: 0, leftCount: 0, dueAt: null, heads: [] }
    }
    const counts = this.#sql
      .exec<Omit<StoreSummary, 'heads'> & Record<string, SqlStorageValue>>(
        `SELECT count(*) AS operationCount,
          (SELECT min(due_at) FROM (
            SELECT due_at FROM operation UNION ALL SELECT due_at FROM left_body
          )) AS dueAt,
          (SELECT count(*) FROM garbage) AS garbageCount,
          (SELECT count(*) FROM left_body) AS leftCount
        FROM operation`,
      )
      .one()
    return { ...counts, heads: this.listHeads() }
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
    if (this.#hasTables) return true
    const sql = "SELECT 1 FROM sqlite_master WHERE name = 'operation'"
    // An object of an earlier version does not have all of them.
    if (this.#sql.exec(sql).toArray().length > 0) this.#createTables()
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
    this.#hasTables = true
  }
}

function toHead(row: HeadRow): EventHead & Pick<PendingEvent, 'retry'> {
  const { lane, sequence, due_at: dueAt } = row
  const head = JSON.parse(row.head) as Pick<PendingEvent, 'recipient' | 'retry' | 'death'>
  return { ...head, lane, sequence, dueAt }
}
