import { globSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite'

/** What is known of a state besides its rows. */
export interface StateFacts {
  /** Epoch milliseconds. */
  readonly writtenAt: number
  /** Keys that the origin got, by path. */
  readonly keys: Readonly<Record<string, string>>
  /** Ids of events that nobody has taken yet, by the path of their receiver. */
  readonly events: Readonly<Record<string, readonly string[]>>
}

const HOUR_MS = 3_600_000

/** Stands for the URL of the origin. */
const ORIGIN = 'http://origin.test'

/** Epoch milliseconds, or nanoseconds in what workerd keeps itself. */
const TIMES = /\b1[78]\d{11}(?:\d{6})?\b/g

/** Writes the state of a server that is killed as SQL, behind a line with its facts. */
export function dumpState(directory: string, originUrl: string, facts: StateFacts): string {
  const files = globSync('*/*.sqlite', { cwd: directory }).toSorted()
  const dumps = files.map((file) => `-- file ${file}\n${dump(path.join(directory, file))}\n`)
  return `-- ${JSON.stringify(facts)}\n${dumps.join('').replaceAll(originUrl, ORIGIN)}`
}

function dump(file: string): string {
  const database = new DatabaseSync(file)
  // Triggers come behind the rows.
  const schema = `SELECT type, name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'`
  const parts = database.prepare(schema).all()
  const tables = parts.filter(({ type }) => type === 'table')
  const rows = tables.flatMap(({ name }) => {
    const all = database.prepare(`SELECT * FROM "${String(name)}"`)
    all.setReadBigInts(true)
    return all
      .all()
      .map(
        (row) => `INSERT INTO "${String(name)}" VALUES (${Object.values(row).map(quote).join()});`,
      )
  })
  database.close()
  const made = (isTable: boolean) =>
    parts.filter(({ type }) => (type === 'table') === isTable).map(({ sql }) => `${String(sql)};`)
  return [...made(true), ...rows, ...made(false)].join('\n')
}

function quote(value: SQLOutputValue): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`
  if (!(value instanceof Uint8Array)) return String(value)
  const isZero = value.length > 0 && value.every((byte) => byte === 0)
  return isZero ? `zeroblob(${value.length})` : `X'${Buffer.from(value).toString('hex')}'`
}

/**
 * Makes a state out of what `dumpState` has written, as if that had been an hour ago.
 *
 * @param directory State of a server that does not run yet.
 */
export function loadState(text: string, directory: string, originUrl: string): StateFacts {
  const [first = '', ...files] = text.split('\n-- file ')
  const facts = JSON.parse(first.slice('-- '.length)) as StateFacts
  const shiftMs = Date.now() - HOUR_MS - facts.writtenAt
  for (const file of files) {
    const end = file.indexOf('\n')
    const where = path.join(directory, file.slice(0, end))
    mkdirSync(path.dirname(where), { recursive: true })
    const database = new DatabaseSync(where)
    database.exec(shift(file.slice(end), shiftMs).replaceAll(ORIGIN, originUrl))
    database.close()
  }
  return facts
}

function shift(sql: string, byMs: number): string {
  return sql.replace(TIMES, (time) => {
    const unit = time.length === 13 ? 1n : 1_000_000n
    return String(BigInt(time) + BigInt(byMs) * unit)
  })
}
