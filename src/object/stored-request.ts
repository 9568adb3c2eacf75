import type { HapaxEnv } from '../config/env.ts'
import {
  decodeStoredRequest,
  encodeStoredRequest,
  type StoredRequest,
} from '../core/origin-request.ts'
import { openStoredBytes, toStoredBytes } from '../platform/at-rest.ts'

/** Writes a request as it is kept with its claim: sealed where the deployment has a secret. */
export function sealRequest(
  env: HapaxEnv,
  operationId: string,
  stored: StoredRequest,
): Promise<Uint8Array<ArrayBuffer>> {
  return toStoredBytes(env, 'stored request', operationId, encodeStoredRequest(stored))
}

/**
 * Reads what `sealRequest` has written.
 *
 * @throws {Error} When it was sealed with another secret.
 */
export async function openStoredRequest(
  env: HapaxEnv,
  operationId: string,
  stored: Uint8Array<ArrayBuffer>,
): Promise<StoredRequest> {
  return decodeStoredRequest(await openStoredBytes(env, 'stored request', operationId, stored))
}
