import type { Context } from 'hono'

import { type Directory, directoryOf } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'

/** How long the directory, or the object of one operation, is waited for, in milliseconds. */
const DIRECTORY_MS = 3_000
const OBJECT_MS = 10_000

/** An object that did not answer, or could not. Its message is for people. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

/**
 * Asks the directory, for so long at most.
 *
 * @throws {NoAnswer} What was asked for may still be done.
 */
export function askDirectory<answer>(
  c: Context<GatewayEnv>,
  question: (directory: Directory) => Promise<answer>,
): Promise<answer> {
  return askInTime(() => question(directoryOf(c.env)), DIRECTORY_MS, 'The directory')
}

/** Reads from the object of one operation, likewise. @throws {NoAnswer} */
export function readObject<answer>(read: () => Promise<answer>): Promise<answer> {
  return askInTime(read, OBJECT_MS, 'The object of the operation')
}

async function askInTime<answer>(
  ask: () => Promise<answer>,
  limitMs: number,
  who: string,
): Promise<answer> {
  try {
    return await inTime(ask(), limitMs)
  } catch (cause) {
    logFault('an admin request had no answer', cause)
    throw new NoAnswer(`${who} did not answer. Try again; the log says why.`, { cause })
  }
}
