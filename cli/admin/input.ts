import { text } from 'node:stream/consumers'

import { Failure } from '../failure.ts'
import { readText } from '../text-file.ts'

/**
 * Reads an idempotency key from a file, the environment or standard input, which other processes
 * cannot read. A line end after it is not part of it.
 *
 * @throws Failure without a key.
 */
export async function readKey(env: NodeJS.ProcessEnv, file: string | undefined): Promise<string> {
  const key = (await readWhole(env, file)).replace(/\r?\n$/, '')
  if (key === '') throw new Failure('The key is empty.', 2)
  return key
}

async function readWhole(env: NodeJS.ProcessEnv, file: string | undefined): Promise<string> {
  if (file !== undefined) return readText(file)
  const { HAPAX_KEY: key } = env
  if (key !== undefined) return key
  if (process.stdin.isTTY) process.stderr.write('Enter the key, then press Ctrl-D: ')
  return text(process.stdin)
}

/** Reads ids from the arguments and, for `-`, one per line from standard input. @throws Failure without any. */
export async function readIds(args: readonly string[]): Promise<string[]> {
  const lines = args.includes('-') ? (await text(process.stdin)).split('\n') : []
  const ids = [...args.filter((one) => one !== '-'), ...lines].map((id) => id.trim())
  const once = [...new Set(ids)].filter((id) => id !== '')
  if (once.length === 0) throw new Failure('Specify at least one id.', 2)
  return once
}
