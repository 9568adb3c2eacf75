import type { Session } from 'chdb'

import { type Statement } from './dialect.ts'
import { COLUMNS, type Point, toRow } from './point.ts'

/** ClickHouse rejected a statement. The message has the words of the cloud. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

/** Rows that wait to be written together. */
interface Batch {
  readonly rows: string[]
  readonly written: Promise<void>
}

/** The tables, in a ClickHouse inside this process. There can be only one at a time. */
export class Store {
  readonly #session: Session
  readonly #datasets = new Set<string>()
  readonly #batches = new Map<string, Batch>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(session: Session) {
    this.#session = session
  }

  /** Adds points. @param dataset Name of a table, which is created if it is missing. */
  write(dataset: string, points: readonly Point[]): Promise<void> {
    const now = Date.now()
    const rows = points.map((point) => JSON.stringify(toRow(dataset, point, now)))
    const waiting = this.#batches.get(dataset)
    if (waiting !== undefined) {
      for (const row of rows) waiting.rows.push(row)
      return waiting.written
    }
    const written = this.#inTurn(() => this.#insert(dataset, rows))
    this.#batches.set(dataset, { rows, written })
    return written
  }

  /** Answers a statement in its format. @throws Refusal */
  query({ sql, format }: Statement): Promise<string> {
    return this.#inTurn(async () => {
      try {
        return (await this.#session.queryAsync(sql, { format })).text()
      } catch (cause) {
        throw toRefusal(cause)
      }
    })
  }

  /** Ends when everything before has ended. */
  close(): Promise<void> {
    return this.#inTurn(() => Promise.resolve(this.#session.close()))
  }

  /** Also writes the points that arrive before its turn: a table takes few large parts better. */
  async #insert(dataset: string, rows: readonly string[]): Promise<void> {
    this.#batches.delete(dataset)
    await this.#open(dataset)
    const values = Buffer.from(rows.join('\n'))
    if (rows.length > 0)
      await this.#session.insert({ table: dataset, format: 'JSONEachRow', values })
  }

  async #open(dataset: string): Promise<void> {
    if (this.#datasets.has(dataset)) return
    const order = 'ENGINE = MergeTree ORDER BY (index1, timestamp)'
    const columns = COLUMNS.join(', ')
    await this.#session.queryAsync(`CREATE TABLE IF NOT EXISTS ${dataset} (${columns}) ${order}`)
    this.#datasets.add(dataset)
  }

  /** One call after the other: each runs in a thread of its own, so that none blocks the process. */
  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(call, call)
    this.#last = turn.catch(() => {})
    return turn
  }
}

/**
 * Opens the tables of a directory; without one, they end with the store.
 *
 * @throws {Error} Where ClickHouse does not run.
 */
export async function openStore(directory?: string): Promise<Store> {
  const { Session: Database } = await import('chdb').catch((cause: unknown) => {
    const advice = 'It runs on macOS and on Linux with glibc, after npm ci.'
    throw new Error(`ClickHouse (chdb) could not be loaded. ${advice}`, { cause })
  })
  return new Store(new Database(directory, { connectionArgs: SETTINGS }))
}

/** As the cloud writes its answers: whole numbers of 64 bits as strings, times in UTC. */
const SETTINGS = [
  '--output_format_json_quote_64bit_integers=1',
  '--output_format_write_statistics=0',
  '--session_timezone=Etc/UTC',
  '--max_threads=2',
]

function toRefusal(cause: unknown): Error {
  const message = cause instanceof Error ? cause.message : String(cause)
  const code = Number(/Code: (\d+)/.exec(message)?.[1])
  return code > 0 ? new Refusal(toReason(code, message), { cause }) : new Error(message, { cause })
}

const SYNTAX_ERROR = 62
const UNKNOWN_IDENTIFIER = 47
const UNKNOWN_TABLE = 60

function toReason(code: number, message: string): string {
  switch (code) {
    case SYNTAX_ERROR:
      return `sql parser error: ${/failed at position .*?(?=\. Expected|$)/.exec(message)?.[0] ?? message}`
    case UNKNOWN_IDENTIFIER:
      return `unable to find type of column: ${/identifier `([^`]*)`/.exec(message)?.[1] ?? message}`
    // A table comes with its first point; the cloud tells of the columns.
    case UNKNOWN_TABLE:
      return 'unable to find type of column: "timestamp"'
    default:
      return message.replace(/^.*?DB::Exception: /, '')
  }
}
