import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { isOperationId } from '../core/operation/operation.ts'
import type { OperatorView } from '../core/operation/operator-view.ts'
import { type Directory, directoryOf } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { inTime } from '../platform/in-time.ts'

/** The time that the directory, or the object of one operation, has to answer, in milliseconds. */
const DIRECTORY_MS = 3_000
const OBJECT_MS = 10_000

/** An object did not answer. The message is for people. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

/**
 * Asks the directory, within its time.
 *
 * @throws {NoAnswer} The directory may still do it.
 * @throws {ConfigurationFault} When there is none.
 */
export function askDirectory<answer>(
  c: Context<GatewayEnv>,
  question: (directory: Directory) => Promise<answer>,
): Promise<answer> {
  return askInTime(() => question(directoryOf(c.env)), DIRECTORY_MS, 'The directory')
}

/** Shows an operation, within its time; `null` if there is none. @throws {NoAnswer} */
export function examineInTime(c: Context<GatewayEnv>, id: string): Promise<OperatorView | null> {
  return askInTime(() => examine(c, id), OBJECT_MS, 'The object of the operation')
}

/** Shows an operation, for a caller that has a limit of its own; `null` if there is none. */
export async function examine(c: Context<GatewayEnv>, id: string): Promise<OperatorView | null> {
  if (!isOperationId(id)) return null
  return askObject(c, id, (object) => object.examine(id))
}

async function askInTime<answer>(
  ask: () => Promise<answer>,
  limitMs: number,
  who: string,
): Promise<answer> {
  try {
    return await inTime(ask(), limitMs)
  } catch (cause) {
    // To ask again would be of no use.
    if (cause instanceof ConfigurationFault) throw cause
    logFault('an admin request had no answer', cause)
    throw new NoAnswer(`${who} did not answer. Try again; the log says why.`, { cause })
  }
}
