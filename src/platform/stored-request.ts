import type { HapaxEnv } from '../config/env.ts'
import {
  decodeStoredRequest,
  encodeStoredRequest,
  type StoredRequest,
} from '../core/request/origin-request.ts'
import { openStoredBytes, toStoredBytes } from './at-rest.ts'

/** Encodes a request for storage with its claim: sealed if the deployment has a secret. */
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
