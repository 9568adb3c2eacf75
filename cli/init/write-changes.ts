import { copyFile, mkdir, realpath, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { toVisible } from '../../src/core/visible.ts'
import { Failure, reasonOf } from '../failure.ts'
import { type FileChange, readProjectFile } from './files.ts'

/** A change with the file beside it that becomes the new one. */
interface Prepared {
  readonly target: string
  readonly temporary: string
}

/**
 * Writes all changes, or none: first each to a file beside its target, then all to their places.
 *
 * @throws Failure When a file has changed since the changes were computed, or cannot be written.
 */
export async function writeChanges(
  directory: string,
  changes: readonly FileChange[],
): Promise<void> {
  const prepared: Prepared[] = []
  try {
    for (const change of changes) {
      // One after the other, so that a failure leaves nothing that is still being written.
      // oxlint-disable-next-line no-await-in-loop
      prepared.push(await prepare(directory, change))
    }
    await Promise.all(prepared.map(({ temporary, target }) => rename(temporary, target)))
  } catch (error) {
    await Promise.all(prepared.map(({ temporary }) => rm(temporary, { force: true })))
    if (error instanceof Failure) throw error
    throw new Failure(toVisible(`The changes could not be written: ${reasonOf(error)}`))
  }
}

async function prepare(directory: string, { file, before, after }: FileChange): Promise<Prepared> {
  if ((await readProjectFile(directory, file)) !== before) {
    throw new Failure(toVisible(`${file} has changed meanwhile. Run hapax init again.`))
  }
  const named = path.join(directory, file)
  await mkdir(path.dirname(named), { recursive: true })
  // A link stays a link.
  const target = before === null ? named : await realpath(named)
  const temporary = `${target}.hapax-init`
  // A copy has the permissions of the file.
  if (before !== null) await copyFile(target, temporary)
  await writeFile(temporary, after)
  return { target, temporary }
}
