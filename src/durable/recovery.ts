import type { HapaxEnv } from '../config/env.ts'
import { decodeOriginRequest, type OriginRequest } from '../core/origin-request.ts'
import { decideProbe, type ProbeVerdict, type Recovery } from '../core/recovery.ts'
import { unseal } from '../core/seal.ts'
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

/**
 * Reads a request that was stored with its claim, sealed where the deployment has a secret.
 *
 * @throws {Error} When it was sealed with another secret.
 */
export async function openStoredRequest(
  env: HapaxEnv,
  operationId: string,
  stored: Uint8Array<ArrayBuffer>,
): Promise<OriginRequest> {
  const secret = env.HAPAX_SEAL_KEY
  return decodeOriginRequest(secret ? await unseal(secret, operationId, stored) : stored)
}
