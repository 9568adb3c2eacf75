import { text } from 'node:stream/consumers'

import { Failure } from '../failure.ts'
import { readText } from '../text-file.ts'

/**
 * Reads an idempotency key from where no other process can read it: a file, the environment, or
 * standard input. A line end behind it is not part of it.
 *
 * @throws Failure where there is none.
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
