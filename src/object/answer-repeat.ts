import { type Answer, ifEnded, ifUnknown, NO_TIME, type Timing } from '../core/operation/answer.ts'
import type { ClaimDecision } from '../core/operation/claim.ts'
import { isRecoverable } from '../core/operation/due.ts'
import type { Caller, Grant } from '../core/operation/operation-guard.ts'
import { type OperationView, toOperationView } from '../core/operation/operation-view.ts'
import {
  doubtMs,
  type Moved,
  type OperationRecord,
  type SettledRecord,
  type UnknownRecord,
} from '../core/operation/record.ts'
import { isSealed, type StoredHead } from '../core/operation/snapshot.ts'
import type { FlightEnd } from '../core/outcome/reply.ts'
import type { SealKey } from '../core/seal.ts'
import { toTime } from '../core/time.ts'
import { toReplayHeaders } from '../core/wire/headers.ts'
import { bodyOf } from './bodies.ts'
import type { ObjectContext } from './object-context.ts'
import { partsOf, Sealer } from './sealer.ts'
import { splitBody, toWireBody } from './wire-body.ts'

/** A claim that was not granted and needs nothing of the origin to be answered. */
type Repeat =
  | Exclude<ClaimDecision, { readonly kind: 'execute' | 'probe' }>
  | { readonly kind: 'store_fault' }

type Expired = Extract<ClaimDecision, { readonly kind: 'expired' }>

/** The call that a request waited for has lost its owner: the request must be decided on again. */
export interface Orphaned {
  readonly kind: 'orphaned'
  /** How long the request may still wait, in milliseconds. */
  readonly leftMs: number
}

/** Answers a request from what is known of its operation. */
export async function answerRepeat(
  context: ObjectContext,
  operationId: string,
  decision: Repeat,
  caller: Caller,
): Promise<Answer | Orphaned | Moved> {
  switch (decision.kind) {
    case 'replay':
      return replay(context, operationId, decision.settled, caller)
    case 'in_flight':
      return joinCall(context, operationId, decision.running, caller)
    case 'mismatch':
      return { kind: 'mismatch', fence: decision.known.fence, places: decision.known.places }
    case 'expired':
      return toExpired(decision)
    case 'hold':
      return { kind: 'held', policy: 'hold', ...pickHeld(decision.record) }
    case 'moved':
    case 'store_fault':
      return decision
  }
}

/** Answers a request from the snapshot of its operation. */
export async function replay(
  { env, ledger }: ObjectContext,
  operationId: string,
  settled: SettledRecord,
  caller: Caller,
): Promise<Answer> {
  const { snapshot: stored, operation, fence, state, settledAt } = settled
  const known = { outcome: state, fence, rememberedMs: settled.expiresAt - Date.now() }
  if (stored.body === 'omitted') {
    const { omittedFor } = stored
    const originStatus = isSealed(stored) ? {} : { originStatus: stored.status }
    const why = { ...(omittedFor && { omittedFor }), ...originStatus }
    return { kind: 'too_large', ...known, timing: NO_TIME, ...why }
  }
  // Before anything is awaited: the record may change meanwhile, but this body stays.
  const ref = { operationId, body: bodyOf(settled) }
  const letGo = ledger.bodies.hold(ref)
  const sealer = new Sealer({ operationId, fence }, keyOf(stored, caller.sealKeys))
  const spilled = { bucket: env.SNAPSHOTS, spillBytes: null }
  const { read } = partsOf(ledger.bodies, ref, sealer, spilled)
  // Also before that: a small body stands in the row of its record.
  const first = stored.body === 'none' ? null : read(0)
  first?.catch(() => {})
  const head = await sealer.openHead(stored)
  if (head === null) {
    letGo()
    return { kind: 'sealed', ...known }
  }
  const origins = { stored: head.corsOrigin, current: caller.corsOrigin }
  const headers = toReplayHeaders(head.headers, origins)
  if (first === null) letGo()
  const readPart = async (part: number) => (part === 0 ? first : read(part))
  const body = first === null ? null : await toWireBody(head.bodyBytes, readPart, letGo)
  const response = { status: head.status, headers, body, bodyBytes: head.bodyBytes }
  const ageMs = Date.now() - settledAt
  return { kind: 'replayed', operation, response, ...known, ...askedBefore(settled), ageMs }
}

/** What is asked before a response is given out, and where. */
export function askedBefore({ reauthorizePath, origin }: OperationRecord) {
  return { reauthorizePath, ...(origin !== undefined && { origin }) }
}

/** The key that a stored response was sealed with, if the client has it; none for one in clear. */
function keyOf(stored: StoredHead, keys: readonly SealKey[]): SealKey | null {
  return (isSealed(stored) && keys.find(({ id }) => id === stored.keyId)) || null
}

/** Answers a request for a result that is no longer kept. */
export function toExpired({ known, isOther }: Omit<Expired, 'kind'>): Answer {
  return { kind: 'expired', fence: known?.fence ?? 0, outcome: known?.outcome ?? null, isOther }
}

/** Picks the facts of an unknown outcome that an answer contains. */
export function pickHeld(record: UnknownRecord) {
  const { fence, reason } = record
  return { fence, reason, ageMs: doubtMs(record, Date.now()) ?? 0 }
}

/** Waits for the call of another request, as long as the caller likes, and answers with its end. */
async function joinCall(
  context: ObjectContext,
  operationId: string,
  running: OperationRecord,
  caller: Caller,
): Promise<Answer | Orphaned> {
  const { ledger, flights } = context
  const startedAt = Date.now()
  const { fence, claimedAt } = running
  const flight = flights.ofRunning(operationId, running)
  let leftMs = caller.waitMs
  while (leftMs > 0 && !flight.isFull) {
    const waitMs = Math.min(leftMs, ledger.ownedMs(operationId))
    // oxlint-disable-next-line no-await-in-loop -- a lease may be renewed meanwhile
    const end = await flight.wait(waitMs)
    const timing = { ...NO_TIME, waitedMs: Date.now() - startedAt }
    if (end !== null) return answerJoined(end, running, timing, caller)
    leftMs -= waitMs
    if (ledger.ownedMs(operationId) === 0) return { kind: 'orphaned', leftMs }
  }
  const accepted = caller.isAsync ? accept(context, operationId) : null
  const now = Date.now()
  const timing = { ...NO_TIME, waitedMs: now - startedAt }
  const runningMs = now - claimedAt
  // Somebody else may have claimed it meanwhile.
  const { carrier } = ledger.find(operationId) ?? running
  return accepted ?? { kind: 'in_flight', fence, runningMs, timing, ...(carrier && { carrier }) }
}

/** Answers a request that has waited for the call of another request. */
export function answerJoined(
  end: FlightEnd,
  record: OperationRecord,
  timing: Timing,
  caller: Caller,
): Answer {
  const { fence, recovery } = record
  const ageMs = doubtMs(record, Date.now()) ?? 0
  // The request's route may be able to ask about an operation that is held.
  const policy = recovery.kind === 'resend' ? 'resend' : 'probe'
  switch (end.kind) {
    case 'too_large': {
      const rememberedMs = end.retentionMs ?? record.retentionMs
      const { kind, omittedFor } = end
      return { kind, fence, outcome: null, timing, rememberedMs, ...(omittedFor && { omittedFor }) }
    }
    case 'fault':
      return { ...end, kind: 'lost', fence, timing, work: null, ...ifUnknown(end, ageMs) }
    case 'step':
      return { kind: 'in_flight', fence, runningMs: Date.now() - record.claimedAt, timing }
    case 'undecided':
      return { kind: 'held', fence, reason: 'owner-lost', policy, until: end.until ?? null, ageMs }
    case 'live':
    case 'response': {
      const { status, outcome, corsOrigin } = end
      const origins = { stored: corsOrigin, current: caller.corsOrigin }
      const headers = toReplayHeaders(end.headers, origins)
      const body = end.kind === 'live' ? end.open() : splitBody(end.body)
      const bodyBytes = end.kind === 'live' ? end.bodyBytes : end.body.byteLength
      const response = { status, headers, body, bodyBytes }
      const joined = { kind: 'joined', response, outcome, fence, timing } as const
      const asked = askedBefore(record)
      const rememberedMs = end.retentionMs ?? record.retentionMs
      return { ...joined, ...asked, ...ifUnknown(end, ageMs), ...ifEnded(end, rememberedMs) }
    }
  }
}

/** Promises a result to a client that comes back for it. @returns `null` when the operation is unknown. */
export function accept(
  { ledger }: ObjectContext,
  operationId: string,
): Extract<Answer, { readonly kind: 'accepted' }> | null {
  const record = ledger.accept(operationId)
  if (record === null) return null
  return { kind: 'accepted', fence: record.fence, view: viewOperation(operationId, record) }
}

/** Shows an operation to its tenant. */
export function viewOperation(operationId: string, record: OperationRecord): OperationView {
  const isRecovering = record.state === 'unknown' && isRecoverable(record, Date.now())
  return toOperationView(operationId, record, { toTime, isRecovering })
}

/** Decides on a request, and decides again if the call that it waited for has lost its owner. */
export async function untilAnswered<answer extends Grant | Answer | Moved>(
  caller: Caller,
  decide: (caller: Caller) => Promise<answer | Orphaned>,
): Promise<answer> {
  for (let waitMs = caller.waitMs; ;) {
    // oxlint-disable-next-line no-await-in-loop -- one decision after the other
    const answer = await decide({ ...caller, waitMs })
    if (answer.kind !== 'orphaned') return withWait(answer, caller.waitMs - waitMs)
    waitMs = answer.leftMs
  }
}

/** Adds the time that a request waited before it was decided on again. */
function withWait<answer extends Grant | Answer | Moved>(answer: answer, waitedMs: number): answer {
  if (waitedMs === 0 || !('timing' in answer)) return answer
  const { timing } = answer
  return { ...answer, timing: { ...timing, waitedMs: timing.waitedMs + waitedMs } }
}
