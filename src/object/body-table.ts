import type { Generation } from '../core/record.ts'
import type { Tables } from './tables.ts'

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

/**
 * Largest piece of a body, each in a row of its own: with what sealing adds it is below 1 MiB. The
 * platform documents 2 MB for a row and enforces more or less.
 */
export const PIECE_BYTES = 1_048_512

/** Cuts a body into pieces. */
export function toPieces(bytes: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let offset = 0; offset < bytes.byteLength; offset += PIECE_BYTES) {
    pieces.push(bytes.slice(offset, offset + PIECE_BYTES))
  }
  return pieces
}

/** Stored requests and answers of an object, piece by piece, and the keys of pieces in the bucket. */
export class BodyTable {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  write(operationId: string, of: BodyOf, { firstPart, pieces }: Pieces): void {
    for (const [index, piece] of pieces.entries()) {
      const isInRow = piece instanceof Uint8Array
      this.#tables.sql.exec(
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
  readPart(
    operationId: string,
    of: BodyOf,
    part: number,
  ): Uint8Array<ArrayBuffer> | SpilledPiece | null {
    if (!this.#tables.areThere()) return null
    const [row] = this.#tables.sql.exec<Part>(
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
    return (
      this.#tables.sql.exec<{ there: number }>(sql, operationId, of, count).one().there === count
    )
  }

  /** The answers of an operation of which there are pieces: at most one is its result, the others are to go. */
  listAnswers(operationId: string): AnswerBody[] {
    if (!this.#tables.areThere()) return []
    const rows = this.#tables.sql.exec<{ belongs_to: AnswerBody }>(
      `SELECT DISTINCT belongs_to FROM body WHERE operation_id = ? AND belongs_to <> 'request'`,
      operationId,
    )
    return Array.from(rows, ({ belongs_to: body }) => body)
  }

  /** Notes that a body is to go, and is looked at again at `dueAt`: somebody reads it. */
  leave({ operationId, body }: BodyRef, dueAt: number): void {
    this.#tables.sql.exec(
      'INSERT OR REPLACE INTO left_body (operation_id, belongs_to, due_at) VALUES (?, ?, ?)',
      operationId,
      body,
      dueAt,
    )
  }

  /** Takes back that a body is to go. */
  keep({ operationId, body }: BodyRef): void {
    const sql = 'DELETE FROM left_body WHERE operation_id = ? AND belongs_to = ?'
    this.#tables.sql.exec(sql, operationId, body)
  }

  /** Bodies that are to go and are to be looked at now, at most `limit` of them. */
  listLeft(now: number, limit: number): BodyRef[] {
    if (!this.#tables.areThere()) return []
    const rows = this.#tables.sql.exec<{ operation_id: string; belongs_to: AnswerBody }>(
      'SELECT operation_id, belongs_to FROM left_body WHERE due_at <= ? LIMIT ?',
      now,
      limit,
    )
    return Array.from(rows, (row) => ({ operationId: row.operation_id, body: row.belongs_to }))
  }

  /** What of it is in the bucket is left behind as garbage, for `listGarbage`. */
  delete(operationId: string, of: BodyOf): void {
    this.#tables.sql.exec(
      `INSERT OR IGNORE INTO garbage (spill_key) SELECT spill_key FROM body
        WHERE operation_id = ? AND belongs_to = ? AND spill_key IS NOT NULL`,
      operationId,
      of,
    )
    this.#tables.sql.exec(
      'DELETE FROM body WHERE operation_id = ? AND belongs_to = ?',
      operationId,
      of,
    )
    if (of !== 'request') this.keep({ operationId, body: of })
  }

  /** Keys in the bucket that belong to nothing any more, at most `limit` of them. */
  listGarbage(limit: number): string[] {
    if (!this.#tables.areThere()) return []
    const rows = this.#tables.sql.exec<{ spill_key: string }>(
      'SELECT spill_key FROM garbage LIMIT ?',
      limit,
    )
    return Array.from(rows, ({ spill_key: spillKey }) => spillKey)
  }

  dropGarbage(spillKeys: readonly string[]): void {
    for (const spillKey of spillKeys) {
      this.#tables.sql.exec('DELETE FROM garbage WHERE spill_key = ?', spillKey)
    }
  }
}
