import type { HapaxEnv } from '../config/env.ts'
import { concat } from '../core/body.ts'
import {
  decodeStoredRequest,
  encodeStoredRequest,
  type StoredRequest,
} from '../core/origin-request.ts'
import { decideProbe, type ProbeVerdict, type Recovery } from '../core/recovery.ts'
import { deriveSealKey, seal, unseal } from '../core/seal.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { callOrigin } from '../origin/call.ts'
import type { OriginTarget } from '../origin/target.ts'

/** Asks the origin's status resource what became of an operation. */
export async function probe(
  origin: OriginTarget,
  { path, bounds }: Extract<Recovery, { kind: 'probe' }>,
  headers: readonly HeaderField[],
): Promise<ProbeVerdict> {
  const request = { method: 'GET', path, headers, body: null }
  return decideProbe(await callOrigin(origin, request, bounds))
}

/** First byte of a stored request: what follows is in clear, or sealed. */
const CLEAR = 0
const SEALED = 1

/** Writes a request as it is kept with its claim: sealed where the deployment has a secret. */
export async function toStoredBytes(
  env: HapaxEnv,
  operationId: string,
  stored: StoredRequest,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = encodeStoredRequest(stored)
  if (!env.HAPAX_SEAL_KEY) return concat([new Uint8Array([CLEAR]), bytes])
  const key = await deriveSealKey(env.HAPAX_SEAL_KEY, 'stored request', operationId)
  return concat([new Uint8Array([SEALED]), await seal(key, operationId, bytes)])
}

/**
 * Reads what `toStoredBytes` has written, under the present secret or the one before.
 *
 * @throws {Error} When it was sealed with another secret.
 */
export async function openStoredRequest(
  { HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS }: HapaxEnv,
  operationId: string,
  stored: Uint8Array<ArrayBuffer>,
): Promise<StoredRequest> {
  const bytes = stored.slice(1)
  if (stored[0] === CLEAR) return decodeStoredRequest(bytes)
  const secrets = [HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS].filter((secret) => !!secret)
  const opened = secrets.map(async (secret = '') =>
    unseal(await deriveSealKey(secret, 'stored request', operationId), operationId, bytes),
  )
  return decodeStoredRequest(await Promise.any(opened))
}
