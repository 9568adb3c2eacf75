import { link, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { KeyStore } from './key-store.ts'

/**
 * Creates a store in a directory, with a file for each text. It lasts when the process is killed, and
 * can be shared by processes. The file system must know hard links.
 *
 * @param directory Is made if it is not there.
 */
export function fileStore(directory: string): KeyStore {
  return {
    async keep(name, text) {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      return keepText(directory, name, text)
    },
    async forget(name, text) {
      const file = join(directory, name)
      if ((await readText(file)) === text) await rm(file, { force: true })
    },
  }
}

async function keepText(directory: string, name: string, text: string): Promise<string> {
  const file = join(directory, name)
  const kept = await readText(file)
  if (kept !== null) return kept
  const draft = `${file}.${crypto.randomUUID()}`
  await writeFile(draft, text, { mode: 0o600, flush: true })
  try {
    // Unlike a rename, this does not replace the text of a process that was faster.
    await link(draft, file)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    return await keepText(directory, name, text)
  } finally {
    await rm(draft)
  }
  await flush(directory)
  return text
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

const hasCode = (error: unknown, code: string) =>
  (Object(error) as { code?: unknown }).code === code

/** Makes names in a directory survive a loss of power. */
async function flush(directory: string): Promise<void> {
  // Windows does not open directories, and does it by itself.
  if (process.platform === 'win32') return
  const handle = await open(directory)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
