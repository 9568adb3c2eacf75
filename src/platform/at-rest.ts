import type { HapaxEnv } from '../config/env.ts'
import { concat } from '../core/bytes.ts'
import { deriveSealKey, seal, type SealPurpose, unseal } from '../core/seal.ts'

/** First byte of stored bytes: the rest is in clear, or sealed. */
const CLEAR = 0
const SEALED = 1

/**
 * Writes bytes as they are stored: sealed if the deployment has a secret.
 *
 * @param context Name of what they belong to; they open only for the same one.
 */
export async function toStoredBytes(
  env: HapaxEnv,
  purpose: SealPurpose,
  context: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!env.HAPAX_SEAL_KEY) return inClear(bytes)
  const key = deriveSealKey(env.HAPAX_SEAL_KEY, purpose, context)
  return concat([new Uint8Array([SEALED]), seal(key, context, bytes)])
}

/** Writes bytes that contain nothing secret. */
export function inClear(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return concat([new Uint8Array([CLEAR]), bytes])
}

/**
 * Reads what `toStoredBytes` has written, under the present secret or the one before.
 *
 * @throws {Error} When it was sealed with another secret.
 */
export async function openStoredBytes(
  { HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS }: HapaxEnv,
  purpose: SealPurpose,
  context: string,
  stored: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = stored.slice(1)
  if (stored[0] === CLEAR) return bytes
  const secrets = [HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS].filter((secret) => !!secret)
  const opened = secrets.map((secret = '') =>
    unseal(deriveSealKey(secret, purpose, context), context, bytes),
  )
  return Promise.any(opened)
}
