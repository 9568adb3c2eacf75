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
export function readRecords(persistTo: string): StoredRecord[] {
  const files = globSync(path.join(persistTo, 'v3/do/*/*.sqlite'))
  return files.filter((file) => !file.endsWith('metadata.sqlite')).flatMap(readFile)
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

function readFile(file: string): StoredRecord[] {
  const database = new DatabaseSync(file, { readOnly: true })
  try {
    return database
      .prepare('SELECT record FROM operation')
      .all()
      .map(({ record }) => JSON.parse(String(record)) as StoredRecord)
  } catch {
    // An object that has no tables yet, or gives them back right now.
    return []
  } finally {
    database.close()
  }
}
