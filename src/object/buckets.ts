import { numberOf } from '../core/operation/bucket.ts'
import { type OperationRecord, parseRecord } from '../core/operation/record.ts'
import type { Tables } from './tables.ts'

const PREFIX = 'bucket_'

/** A row of a bucket, in which the record is JSON. */
interface Row extends Record<string, SqlStorageValue> {
  number: number
  id: string
  record: string
}

interface Read extends Record<string, SqlStorageValue> {
  record: string
  body: ArrayBuffer | null
}

/** Where a row is: the end of its bucket, and its number there. */
export interface BucketPlace {
  readonly endsAt: number
  readonly number: number
}

/** A record in a bucket, and the body beside it. */
export interface Bucketed {
  readonly record: OperationRecord
  readonly body: ArrayBuffer | null
  readonly place: BucketPlace
}

/** A record in progress as it is stored. */
interface OpenRow {
  readonly id: string
  readonly text: string
  readonly place: BucketPlace
}

/** What is stored in a row. */
interface Content {
  readonly id: string
  readonly record: OperationRecord
  /** Without it, the row keeps the body that it has. */
  readonly body?: Uint8Array | null | undefined
}

/** Most tables that one statement looks at. */
const TABLES_AT_ONCE = 16

/** Most operations that share a number and can be in progress at once. */
const SPARES = 16
const SPARE_OFFSET = 2 ** 48

/**
 * Tables of records that are kept until about the same time, and dropped as a whole. The number of a
 * row is that of its operation's id; it is negative while the operation is in progress, so that these
 * are found without a scan.
 */
export class Buckets {
  readonly #tables: Tables
  #ends: readonly number[] | null = null

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** The ends of all buckets, in epoch milliseconds, the latest first: most repeats come soon. */
  ends(): readonly number[] {
    return (this.#ends ??= this.#tables
      .names()
      .filter((name) => name.startsWith(PREFIX))
      .map((name) => Number(name.slice(PREFIX.length)))
      .toSorted((one, other) => other - one))
  }

  /** Forgets which buckets there are: a transaction was rolled back. */
  reload(): void {
    this.#ends = null
  }

  /** Finds the record of an operation that is not in progress. */
  find(id: string): Bucketed | null {
    const number = numberOf(id)
    const ends = this.ends()
    for (let at = 0; at < ends.length; at += TABLES_AT_ONCE) {
      const endsAt = this.#whichHas(ends.slice(at, at + TABLES_AT_ONCE), number, id)
      if (endsAt !== null) return this.#read({ endsAt, number })
    }
    return null
  }

  /** Finds which of these buckets has a row of the operation. */
  #whichHas(ends: readonly number[], number: number, id: string): number | null {
    const looks = ends.map(
      (endsAt) => `(SELECT ${endsAt} FROM ${nameOf(endsAt)} WHERE number = ?1 AND id = ?2)`,
    )
    const sql = `SELECT coalesce(${looks.join(', ')}, NULL) AS endsAt`
    return this.#tables.sql.exec<{ endsAt: number | null }>(sql, number, id).one().endsAt
  }

  #read(place: BucketPlace): Bucketed {
    const sql = `SELECT record, body FROM ${nameOf(place.endsAt)} WHERE number = ?`
    const { record, body } = this.#tables.sql.exec<Read>(sql, place.number).one()
    return { record: parseRecord(record), body, place }
  }

  readBody({ endsAt, number }: BucketPlace): ArrayBuffer | null {
    const sql = `SELECT body FROM ${nameOf(endsAt)} WHERE number = ?`
    return this.#tables.sql.exec<{ body: ArrayBuffer | null }>(sql, number).one().body
  }

  /** Reads all that are in progress, as they are stored. */
  listOpen(): OpenRow[] {
    return this.ends().flatMap((endsAt) => {
      const sql = `SELECT number, id, record FROM ${nameOf(endsAt)} WHERE number < 0`
      const rows = this.#tables.sql.exec<Row>(sql)
      return Array.from(rows, ({ number, id, record }) => ({
        id,
        text: record,
        place: { endsAt, number },
      }))
    })
  }

  /** Stores a new row. @returns `null` when all numbers for its id are taken. */
  insert(endsAt: number, content: Content): BucketPlace | null {
    const { id, record, body = null } = content
    const name = nameOf(endsAt)
    if (!this.#tables.has(name)) this.#create(name)
    const sql = `INSERT OR IGNORE INTO ${name} (number, id, record, body) VALUES (?, ?, ?, ?)`
    const text = JSON.stringify(record)
    for (const number of numbersOf(content)) {
      const { rowsWritten } = this.#tables.sql.exec(sql, number, id, text, body)
      if (rowsWritten > 0) return { endsAt, number }
    }
    return null
  }

  /** Changes a row. @returns `null` when its new number is taken: the row stays as it was. */
  update({ endsAt, number }: BucketPlace, content: Content): BucketPlace | null {
    const { record, body } = content
    const set = body === undefined ? '' : ', body = ?3'
    const sql = `UPDATE OR IGNORE ${nameOf(endsAt)} SET number = ?1, record = ?2${set} WHERE number = ?4`
    const isSame = record.state === 'in_progress' ? number < 0 : number > 0
    const next = isSame ? number : (numbersOf(content)[0] ?? number)
    const values = [next, JSON.stringify(record), body ?? null, number]
    const { rowsWritten } = this.#tables.sql.exec(sql, ...values)
    return rowsWritten > 0 ? { endsAt, number: next } : null
  }

  delete({ endsAt, number }: BucketPlace): void {
    this.#tables.sql.exec(`DELETE FROM ${nameOf(endsAt)} WHERE number = ?`, number)
  }

  drop(endsAt: number): void {
    this.#ends = null
    this.#tables.drop(nameOf(endsAt))
  }

  #create(name: string): void {
    this.#ends = null
    this.#tables.create(
      name,
      `CREATE TABLE IF NOT EXISTS ${name} (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        record TEXT NOT NULL,
        body BLOB
      ) STRICT`,
    )
  }
}

const nameOf = (endsAt: number) => `${PREFIX}${endsAt}`

/** The numbers that a row may have. An operation in progress is not looked up by its number, so it has spare ones. */
function numbersOf({ id, record }: Content): number[] {
  const number = numberOf(id)
  if (record.state !== 'in_progress') return [number]
  return Array.from({ length: SPARES }, (_, spare) => -(number + spare * SPARE_OFFSET))
}
