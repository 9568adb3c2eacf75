import type { HapaxEnv } from '../config/env.ts'
import {
  decodeStoredRequest,
  encodeStoredRequest,
  type StoredRequest,
} from '../core/origin-request.ts'
import { decideProbe, type ProbeVerdict, type Recovery } from '../core/recovery.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { callOrigin } from '../origin/call.ts'
import { judgeStatus } from '../origin/judge.ts'
import type { OriginTarget } from '../origin/target.ts'
import { openStoredBytes, toStoredBytes } from '../platform/at-rest.ts'

/** Asks the origin's status resource what became of an operation. */
export async function probe(
  origin: OriginTarget,
  { path, bounds, rules }: Extract<Recovery, { kind: 'probe' }>,
  headers: readonly HeaderField[],
): Promise<ProbeVerdict> {
  const request = { method: 'GET', path, headers, body: null }
  const reply = await callOrigin(origin, request, bounds)
  return decideProbe(await judgeStatus(reply, { rules, limitBytes: bounds.limitBytes }), rules)
}

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
