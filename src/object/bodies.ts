import { concat } from '../core/bytes.ts'
import {
  isSettled,
  NewerRecord,
  type OperationRecord,
  type SettledRecord,
} from '../core/operation/record.ts'
import { countFrom, estimateReceipt } from '../core/operation/retention.ts'
import { logFault } from '../metrics/log.ts'
import { requireSpill } from '../platform/spill.ts'
import { Holds } from './holds.ts'
import {
  type AnswerBody,
  type BodyRef,
  PIECE_BYTES,
  type Pieces,
  type SpilledPiece,
  toPieces,
  type UnstoredBody,
} from './pieces.ts'
import type { RecordStore } from './record-store.ts'
import type { Tables } from './tables.ts'
import type { Transactions } from './transactions.ts'
import type { ReadEnd } from './wire-body.ts'

/** Most keys that are deleted in the R2 bucket at once: the limit of R2. */
const SWEEP_BATCH = 1_000

/** A body up to this length is stored beside its record: in the same row, which is read and written as one. */
const BESIDE_BYTES = 65_536

/** How soon a body that is to be deleted is checked again while it is still read, in milliseconds. */
const LEFT_LOOK_MS = 60_000

interface PartRow extends Record<string, SqlStorageValue> {
  bytes: ArrayBuffer | null
  spill_key: string | null
}

/**
 * The bodies of an object's operations: stored requests and answers, piece by piece, who reads them,
 * and when they are deleted. Methods with a parameter `now` run inside a transaction of the ledger.
 */
export class Bodies {
  readonly #tables: Tables
  readonly #records: RecordStore
  readonly #transactions: Transactions
  /** Where the clean-up continues, by the operation's id; `null`: there is nothing to clean up. */
  #cleanUpFrom: string | null = null
  readonly #holds = new Holds((ref) => this.#letGo(ref))

  constructor(tables: Tables, records: RecordStore, transactions: Transactions) {
    this.#tables = tables
    this.#records = records
    this.#transactions = transactions
  }

  /**
   * Stores pieces of a body that is still coming; they count for nothing before the settle.
   *
   * @throws {Error} When the operation is there no more: nothing would ever delete them.
   */
  write({ operationId, body }: BodyRef, pieces: Pieces): void {
    this.#tables.transaction(() => {
      if (this.#records.read(operationId) === null) throw new Error('The operation was forgotten.')
      this.#write(operationId, body, pieces)
    })
  }

  #write(operationId: string, body: AnswerBody | 'request', { firstPart, pieces }: Pieces): void {
    if (pieces.length > 0) this.#tables.require('body')
    for (const [index, piece] of pieces.entries()) {
      const isInRow = piece instanceof Uint8Array
      this.#tables.sql.exec(
        'INSERT INTO body (operation_id, belongs_to, part, bytes, spill_key) VALUES (?, ?, ?, ?, ?)',
        operationId,
        body,
        firstPart + index,
        isInRow ? piece : null,
        isInRow ? null : piece.spillKey,
      )
    }
  }

  /** @returns One piece of a body, or where it is, or `null` after its end. */
  readPart(
    operationId: string,
    body: AnswerBody | 'request',
    part: number,
  ): Uint8Array<ArrayBuffer> | SpilledPiece | null {
    const beside = part === 0 ? this.#readBeside(operationId, body) : null
    if (beside !== null || !this.#tables.has('body')) return beside
    const [row] = this.#tables.sql.exec<PartRow>(
      'SELECT bytes, spill_key FROM body WHERE operation_id = ? AND belongs_to = ? AND part = ?',
      operationId,
      body,
      part,
    )
    if (row === undefined) return null
    const { bytes, spill_key: spillKey } = row
    return spillKey === null ? new Uint8Array(bytes ?? new ArrayBuffer(0)) : { spillKey }
  }

  /** A small body stands beside its record. */
  #readBeside(operationId: string, body: AnswerBody | 'request'): Uint8Array<ArrayBuffer> | null {
    const record = this.#records.read(operationId)
    if (!isSettled(record) || bodyOf(record) !== body) return null
    return record.snapshot.bodyBytes > BESIDE_BYTES ? null : this.#records.readBody(operationId)
  }

  /** @returns The stored request, or `null` when there is none. */
  readRequest(operationId: string): Uint8Array<ArrayBuffer> | null {
    const parts: Uint8Array<ArrayBuffer>[] = []
    for (let part = 0; ; part++) {
      const piece = this.readPart(operationId, 'request', part)
      if (!(piece instanceof Uint8Array)) break
      parts.push(piece)
    }
    return parts.length === 0 ? null : concat(parts)
  }

  /** Stores the request of a claim, or none. */
  writeRequest(id: string, stored: Uint8Array | null): void {
    this.dropRequest(id)
    if (stored === null) return
    this.#write(id, 'request', { firstPart: 0, pieces: toPieces(stored) })
  }

  dropRequest(id: string): void {
    this.#delete(id, 'request')
  }

  /**
   * Stores the pieces of a result that are not stored yet.
   *
   * @returns A small body, which the caller stores beside the record.
   */
  writeResult(id: string, body: UnstoredBody): Uint8Array | null {
    const [piece] = body.pieces
    const isWhole = body.firstPart === 0 && body.pieces.length === 1
    if (isWhole && piece instanceof Uint8Array && piece.byteLength <= BESIDE_BYTES) return piece
    this.#write(id, body.generation, body)
    return null
  }

  /** Whether all pieces of a body are there that were stored before its settle. */
  isWhole(id: string, body: UnstoredBody | null): boolean {
    if (body === null || body.firstPart === 0) return true
    if (!this.#tables.has('body')) return false
    const { generation, firstPart } = body
    const sql = `SELECT count(*) AS there FROM body
      WHERE operation_id = ? AND belongs_to = ? AND part < ?`
    const counted = this.#tables.sql.exec<{ there: number }>(sql, id, generation, firstPart)
    return counted.one().there === firstPart
  }

  /** Whether the client whose request made a result still reads it, bit by bit. */
  isBeingRead(operationId: string, record: OperationRecord | null): boolean {
    if (!isSettled(record) || !isReadInPieces(record)) return false
    return this.#holds.hasFirst({ operationId, body: bodyOf(record) })
  }

  /**
   * Keeps an answer while somebody reads or records it, even if its operation is forgotten.
   *
   * @returns Releases it. The last release deletes the answer, unless it is the operation's result.
   */
  hold(ref: BodyRef): () => void {
    return this.#holds.take(ref)
  }

  /**
   * Notes that the client whose request made an answer is reading it. The answer does not expire
   * until that ends, and retention counts from the end.
   *
   * @returns Notes that the client has received all of it, or has left.
   */
  awaitReceipt(ref: BodyRef): (how: ReadEnd) => void {
    this.#holds.noteFirst(ref)
    return (how) => {
      this.#noteReceipt(ref, how)
      this.#holds.forgetFirst(ref)
    }
  }

  /** The client whose request made a result has received all of it, or has left. */
  #noteReceipt({ operationId, body }: BodyRef, how: ReadEnd): void {
    const endedAt = Date.now()
    try {
      const record = this.#records.read(operationId)
      if (!isSettled(record) || bodyOf(record) !== body || !isReadInPieces(record)) return
      const moved = countFrom(record, how === 'whole' ? estimateReceipt(record, endedAt) : endedAt)
      if (moved === null) return
      this.#transactions.run((now) => this.#records.write(operationId, moved, now))
    } catch (error) {
      logFault('retention could not be counted from when the client has the result', error)
    }
  }

  /** Deletes all answers of an operation except the result in its record. One that is being read is deleted later. */
  dropAnswers(operationId: string, record: OperationRecord | null, now: number): void {
    if (!this.#tables.has('body')) return
    const sql = `SELECT DISTINCT belongs_to AS body FROM body
      WHERE operation_id = ? AND belongs_to <> 'request'`
    const answers = this.#tables.sql.exec<{ body: AnswerBody }>(sql, operationId).toArray()
    for (const { body } of answers) this.#dropAnswer({ operationId, body }, record, now)
  }

  /** Operations whose own client reads the result. */
  listBeingRead(): string[] {
    return this.#holds.listFirsts()
  }

  /** From now on looks for bodies whose operation is forgotten: many records were deleted at once. */
  beginCleanUp(): void {
    this.#cleanUpFrom ??= ''
  }

  /** When the alarm continues the clean-up, in epoch milliseconds; `null`: there is none. */
  cleanUpAt(now: number): number | null {
    return this.#cleanUpFrom === null ? null : now
  }

  /** Deletes bodies whose operation is forgotten, of at most `limit` operations. */
  cleanUp(now: number, limit: number): void {
    if (this.#cleanUpFrom === null) return
    const ids = this.#tables.has('body') ? this.#listOperations(this.#cleanUpFrom, limit) : []
    for (const id of ids) {
      const record = this.#readIfKnown(id)
      if (record === undefined) continue
      this.dropAnswers(id, record, now)
      if (record === null) this.dropRequest(id)
    }
    this.#cleanUpFrom = ids.length === limit ? (ids.at(-1) ?? null) : null
  }

  #listOperations(after: string, limit: number): string[] {
    const sql = `SELECT DISTINCT operation_id AS id FROM body
      WHERE operation_id > ? ORDER BY operation_id LIMIT ?`
    return Array.from(this.#tables.sql.exec<{ id: string }>(sql, after, limit), ({ id }) => id)
  }

  /** Looks again at answers that are to go and were still read, at most `limit` of them. */
  dropLeft(now: number, limit: number): void {
    if (!this.#tables.has('left_body')) return
    const sql = `SELECT operation_id AS operationId, belongs_to AS body FROM left_body
      WHERE due_at <= ? LIMIT ?`
    const left = this.#tables.sql.exec<{ operationId: string; body: AnswerBody }>(sql, now, limit)
    for (const ref of left.toArray()) {
      const record = this.#readIfKnown(ref.operationId)
      if (record === undefined) this.#lookLater(ref, now)
      else this.#dropAnswer(ref, record, now)
    }
  }

  /** @returns `undefined` for a record that a newer version wrote: its bodies do not hold up the others. */
  #readIfKnown(operationId: string): OperationRecord | null | undefined {
    try {
      return this.#records.read(operationId)
    } catch (error) {
      if (error instanceof NewerRecord) return undefined
      throw error
    }
  }

  #dropAnswer(ref: BodyRef, record: OperationRecord | null, now: number): void {
    const { operationId, body } = ref
    if (isResult(ref, record)) return this.#keep(operationId, body)
    if (!this.#holds.has(ref)) return this.#delete(operationId, body)
    this.#holds.leave(ref)
    this.#lookLater(ref, now)
  }

  #lookLater({ operationId, body }: BodyRef, now: number): void {
    this.#tables.require('left_body')
    this.#tables.sql.exec(
      'INSERT OR REPLACE INTO left_body (operation_id, belongs_to, due_at) VALUES (?, ?, ?)',
      operationId,
      body,
      now + LEFT_LOOK_MS,
    )
  }

  /** Takes back that an answer is to go. */
  #keep(operationId: string, body: AnswerBody): void {
    if (!this.#tables.has('left_body')) return
    const sql = 'DELETE FROM left_body WHERE operation_id = ? AND belongs_to = ?'
    this.#tables.sql.exec(sql, operationId, body)
  }

  /** Deletes a body. The keys of its pieces in the R2 bucket become garbage. */
  #delete(operationId: string, body: AnswerBody | 'request'): void {
    if (!this.#tables.has('body')) return
    const isOfBody = 'operation_id = ? AND belongs_to = ?'
    const { sql } = this.#tables
    const spilled = `SELECT spill_key FROM body WHERE ${isOfBody} AND spill_key IS NOT NULL`
    if (sql.exec(spilled, operationId, body).toArray().length > 0) {
      this.#tables.require('garbage')
      sql.exec(`INSERT OR IGNORE INTO garbage (spill_key) ${spilled}`, operationId, body)
    }
    sql.exec(`DELETE FROM body WHERE ${isOfBody}`, operationId, body)
    if (body !== 'request') this.#keep(operationId, body)
  }

  /** Nobody holds an answer any more. If it cannot be deleted now, the alarm or the next claim deletes it. */
  #letGo(ref: BodyRef): void {
    try {
      if (isResult(ref, this.#records.read(ref.operationId))) return
      this.#transactions.run(() => this.#delete(ref.operationId, ref.body))
    } catch (error) {
      logFault('an answer that nobody reads any more could not be deleted', error)
    }
  }

  /** Deletes in the R2 bucket the pieces that belong to nothing any more. A failure is tried again by the alarm. */
  async sweep(bucket: R2Bucket | undefined): Promise<void> {
    try {
      if (!this.#tables.has('garbage')) return
      const sql = 'SELECT spill_key AS spillKey FROM garbage LIMIT ?'
      const rows = this.#tables.sql.exec<{ spillKey: string }>(sql, SWEEP_BATCH)
      const spillKeys = Array.from(rows, ({ spillKey }) => spillKey)
      if (spillKeys.length === 0) return
      await requireSpill(bucket).delete(spillKeys)
      this.#transactions.run(() => {
        for (const spillKey of spillKeys) {
          this.#tables.sql.exec('DELETE FROM garbage WHERE spill_key = ?', spillKey)
        }
      })
    } catch (error) {
      logFault('pieces of a body could not be deleted in the bucket; it will be tried again', error)
    }
  }
}

/** Which stored answer is the result of an operation. */
export function bodyOf(record: SettledRecord): AnswerBody {
  return record.generation ?? 'response'
}

function isResult({ body }: BodyRef, record: OperationRecord | null): boolean {
  return isSettled(record) && bodyOf(record) === body && !isOmitted(record)
}

/** Whether a result is so large that a client reads it piece by piece. Smaller ones are sent at once. */
function isReadInPieces(record: SettledRecord): boolean {
  return record.snapshot.bodyBytes > PIECE_BYTES || isOmitted(record)
}

/** Whether nothing is kept of the body of a result. */
const isOmitted = ({ snapshot }: SettledRecord) => snapshot.body === 'omitted'
