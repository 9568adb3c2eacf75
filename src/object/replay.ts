import { type Answer, NO_TIME } from '../core/answer.ts'
import { toReplayHeaders } from '../core/headers.ts'
import type { Caller } from '../core/operation-guard.ts'
import type { SettledRecord } from '../core/record.ts'
import { isSealed, type SnapshotHead, type WireResponse } from '../core/snapshot.ts'
import { Spill } from '../platform/spill.ts'
import { bodyOf } from './bodies.ts'
import type { BodyRef } from './body-table.ts'
import type { ObjectContext } from './object-context.ts'
import { openHead, partsOf, type Sealer } from './sealer.ts'
import { toWireBody } from './wire-body.ts'

/** Answers a request from the snapshot of its operation. */
export async function replay(
  context: ObjectContext,
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
  const letGo = context.ledger.bodies.hold(ref)
  const opened = await openHead(operationId, settled, caller.sealKeys)
  if (opened === null) {
    letGo()
    return { kind: 'sealed', ...known }
  }
  const { head } = opened
  const origins = { stored: head.corsOrigin, current: caller.corsOrigin }
  const headers = toReplayHeaders(head.headers, origins)
  const body = await openBody(context, ref, opened, letGo)
  const response = { status: head.status, headers, body, bodyBytes: head.bodyBytes }
  const ageMs = Date.now() - settledAt
  return { kind: 'replayed', operation, response, ...known, reauthorizePath, ageMs }
}

async function openBody(
  { env, ledger }: ObjectContext,
  ref: BodyRef,
  { head, sealer }: { readonly head: SnapshotHead; readonly sealer: Sealer | null },
  letGo: () => void,
): Promise<WireResponse['body']> {
  if (head.body === 'none') {
    letGo()
    return null
  }
  const spill = env.SNAPSHOTS === undefined ? null : new Spill(env.SNAPSHOTS)
  const { read } = partsOf(ledger.bodies, ref, { sealer, spill, spillBytes: Infinity })
  return toWireBody(head.bodyBytes, read, letGo)
}
