import { type Answer, ifEnded, ifUnknown, NO_TIME, type Timing } from '../core/answer.ts'
import { toReplayHeaders } from '../core/headers.ts'
import type { Caller } from '../core/operation-guard.ts'
import { doubtMs, type OperationRecord } from '../core/record.ts'
import type { FlightEnd } from '../core/reply.ts'
import { accept } from './accept.ts'
import type { ObjectContext } from './object-context.ts'
import { splitBody } from './wire-body.ts'

/** The call that a request has waited for lost its owner: what becomes of the request is open again. */
export interface Orphaned {
  readonly kind: 'orphaned'
  /** How long the request may still wait, in milliseconds. */
  readonly leftMs: number
}

/** Waits for the call of another request, as long as the caller likes, and answers with its end. */
export async function joinCall(
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

/** Answers a request that has waited for the call of another. */
export function answerJoined(
  end: FlightEnd,
  record: OperationRecord,
  timing: Timing,
  caller: Caller,
): Answer {
  const { fence, reauthorizePath, recovery } = record
  const ageMs = doubtMs(record, Date.now()) ?? 0
  // What is held can be asked about all the same, by a request whose route can.
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
      const joined = { kind: 'joined', response, outcome, fence, reauthorizePath, timing } as const
      const rememberedMs = end.retentionMs ?? record.retentionMs
      return { ...joined, ...ifUnknown(end, ageMs), ...ifEnded(end, rememberedMs) }
    }
  }
}
