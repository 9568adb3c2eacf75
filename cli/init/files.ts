import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

import { toVisible } from '../../src/core/visible.ts'
import { Failure, reasonOf } from '../failure.ts'

/** A file that is created or changed. */
export interface FileChange {
  /** Path in the project. */
  readonly file: string
  /** `null` if the file is new. */
  readonly before: string | null
  readonly after: string
  readonly because: readonly string[]
}

/** Reads a file of a project. Returns `null` if it is not there. @throws Failure */
export async function readProjectFile(directory: string, file: string): Promise<string | null> {
  try {
    return await readFile(path.join(directory, file), 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw new Failure(toVisible(`${file} could not be read: ${reasonOf(error)}`))
  }
}

/** Lists a directory. One that is not there is empty. @throws Failure */
export async function listDirectory(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (isMissing(error)) return []
    throw new Failure(toVisible(`${directory} could not be read: ${reasonOf(error)}`))
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
