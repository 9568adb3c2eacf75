import { type Answer, NO_TIME } from '../core/answer.ts'
import { toReplayHeaders } from '../core/headers.ts'
import type { Caller } from '../core/operation-guard.ts'
import type { SettledRecord } from '../core/record.ts'
import type { SealKey } from '../core/seal.ts'
import { isSealed, type StoredHead } from '../core/snapshot.ts'
import { bodyOf } from './bodies.ts'
import type { ObjectContext } from './object-context.ts'
import { partsOf, Sealer } from './sealer.ts'
import { toWireBody } from './wire-body.ts'

/** Answers a request from the snapshot of its operation. */
export async function replay(
  { env, ledger }: ObjectContext,
  operationId: string,
  settled: SettledRecord,
  caller: Caller,
): Promise<Answer> {
  const { snapshot: stored, operation, fence, state, settledAt, reauthorizePath } = settled
  const known = { outcome: state, fence, rememberedMs: settled.expiresAt - Date.now() }
  if (stored.body === 'omitted') {
    const { omittedFor } = stored
    const originStatus = isSealed(stored) ? {} : { originStatus: stored.status }
    const why = { ...(omittedFor && { omittedFor }), ...originStatus }
    return { kind: 'too_large', ...known, timing: NO_TIME, ...why }
  }
  // Before anything is awaited: the record may be another one then, but this body stays.
  const ref = { operationId, body: bodyOf(settled) }
  const letGo = ledger.bodies.hold(ref)
  const sealer = new Sealer({ operationId, fence }, keyOf(stored, caller.sealKeys))
  const head = await sealer.openHead(stored)
  if (head === null) {
    letGo()
    return { kind: 'sealed', ...known }
  }
  const origins = { stored: head.corsOrigin, current: caller.corsOrigin }
  const headers = toReplayHeaders(head.headers, origins)
  const spilled = { bucket: env.SNAPSHOTS, spillBytes: null }
  const { read } = partsOf(ledger.bodies, ref, sealer, spilled)
  if (head.body === 'none') letGo()
  const body = head.body === 'none' ? null : await toWireBody(head.bodyBytes, read, letGo)
  const response = { status: head.status, headers, body, bodyBytes: head.bodyBytes }
  const ageMs = Date.now() - settledAt
  return { kind: 'replayed', operation, response, ...known, reauthorizePath, ageMs }
}

/** The key that a stored response was sealed with, if the client has it; none for one in clear. */
function keyOf(stored: StoredHead, keys: readonly SealKey[]): SealKey | null {
  return (isSealed(stored) && keys.find(({ id }) => id === stored.keyId)) || null
}
