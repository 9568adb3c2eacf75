import { globSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

/** A stored record, as far as tests look at it. */
export interface StoredRecord {
  readonly operation: string
  readonly state: string
  readonly attempts: readonly { readonly outcome: string | null }[]
}

/** Reads every record from the files of a server, which may be running. */
function readRecords(persistTo: string): StoredRecord[] {
  return readFiles(persistTo, recordsOf)
}

/** Reads how long each piece is of the body that an operation's record holds in rows, in order. */
export function readBodyRows(persistTo: string, operation: string): number[] {
  return readFiles(persistTo, (database) => {
    const isThere = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'body'").get()
    const pieces = 'SELECT length(bytes) AS size FROM body WHERE operation_id = ? ORDER BY part'
    return rowsOf(database)
      .filter(({ record }) => record.operation === operation)
      .flatMap(({ id, size }) => [
        // A small one stands beside its record.
        ...(size === null ? [] : [size]),
        ...(isThere === undefined ? [] : database.prepare(pieces).all(id)).map((piece) =>
          Number(piece['size']),
        ),
      ])
  })
}

/** Waits until the record of an operation on the disk is as it should be. */
export async function recordIs(
  persistTo: string,
  operation: string,
  isWanted: (record: StoredRecord) => boolean,
): Promise<void> {
  const isThere = () =>
    readRecords(persistTo).some((record) => record.operation === operation && isWanted(record))
  // A file has no event to wait for.
  while (!isThere()) await sleep(20)
}

/** Waits until so many records of an operation on the disk are in this state. */
export async function recordsAre(
  persistTo: string,
  operation: string,
  { state, count }: { readonly state: string; readonly count: number },
): Promise<void> {
  const found = () =>
    readRecords(persistTo).filter(
      (record) => record.operation === operation && record.state === state,
    )
  // A file has no event to wait for.
  while (found().length < count) await sleep(20)
}

function readFiles<row>(persistTo: string, read: (database: DatabaseSync) => row[]): row[] {
  // As `wrangler dev` lays them out, and as bare workerd does.
  const files = ['v3/do/*/*.sqlite', '*/*.sqlite'].flatMap((pattern) =>
    globSync(path.join(persistTo, pattern)),
  )
  return files
    .filter((file) => !file.endsWith('metadata.sqlite'))
    .flatMap((file) => readFile(file, read))
}

function readFile<row>(file: string, read: (database: DatabaseSync) => row[]): row[] {
  let database: DatabaseSync | null = null
  try {
    database = new DatabaseSync(file, { readOnly: true })
    return read(database)
  } catch {
    // An object that has no tables yet, or gives them or its whole file back right now.
    return []
  } finally {
    database?.close()
  }
}

const recordsOf = (database: DatabaseSync) => rowsOf(database).map(({ record }) => record)

/** A record, and the length of the body beside it. */
interface StoredRow {
  readonly id: string
  readonly record: StoredRecord
  readonly size: number | null
}

function rowsOf(database: DatabaseSync): StoredRow[] {
  // A shard keeps them in a table for each time at which they expire.
  const tables = database
    .prepare("SELECT name FROM sqlite_master WHERE name = 'operation' OR name LIKE 'bucket%'")
    .all()
  return tables
    .flatMap(({ name }) => database.prepare(`SELECT * FROM ${String(name)}`).all())
    .map(({ id, record, body }) => ({
      id: String(id),
      record: JSON.parse(String(record)) as StoredRecord,
      // A table of an earlier version has no such column.
      size: body instanceof Uint8Array ? body.byteLength : null,
    }))
}
