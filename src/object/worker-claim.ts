import type { Answer, SettleResult } from '../core/operation/answer.ts'
import { type ClaimRequest, type Granted, toOwner } from '../core/operation/claim.ts'
import type { Explanation } from '../core/operation/explanation.ts'
import type { Caller, Grant, SettleCall, StreamCall } from '../core/operation/operation-guard.ts'
import { type ClaimRef, doubtMs, ownerOf, toRef } from '../core/operation/record.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import type { LiveBody } from '../core/outcome/reply.ts'
import { logFault } from '../metrics/log.ts'
import { requireSpill } from '../platform/spill.ts'
import { answerRepeat, type Orphaned } from './answer-repeat.ts'
import { claimOperation, lookAhead, reclaim, refuseLate, refuseNew } from './claim-operation.ts'
import { toNewEvents } from './event-deliveries.ts'
import { giveUp, landClaim } from './land-claim.ts'
import { keepAlive, type ObjectContext } from './object-context.ts'
import { streamAnswer } from './stream-answer.ts'

/** Tries to take over a stream, and the pause between them in milliseconds, which grows with each try. */
const ADOPT_TRIES = 4
const ADOPT_RETRY_MS = 50

/** Grants an operation to a Worker under a lease, or answers from what is known about it. */
export async function claimForWorker(
  context: ObjectContext,
  request: ClaimRequest,
  caller: Caller,
  explanation: Explanation | null,
): Promise<Grant | Answer | Orphaned> {
  const { operationId } = request
  const refusal = await refuseNew(context, request, caller)
  if (refusal !== null) return refusal
  const late = refuseLate(caller)
  if (late !== null && lookAhead(context, request)?.kind === 'execute') return late
  const decision = claimOperation(context, { request, stored: null, explanation })
  if (decision.kind === 'execute') {
    const { record } = decision
    const claim = toRef(operationId, record)
    context.flights.takeOff(claim, ownerOf(record))
    return { kind: 'granted', claim, doubtMs: doubtMs(record, Date.now()) }
  }
  if (decision.kind === 'probe') {
    const refuse = () => refuseLate(caller)
    const reclaiming = reclaim(context, { request, stored: null, caller, refuse }, decision)
    const granting = reclaiming.then((claim): Grant | Answer | Orphaned => {
      if ('kind' in claim) return claim
      context.flights.takeOff(claim, toOwner(request, Date.now()))
      return { kind: 'granted', claim }
    })
    return keepAlive(context, granting)
  }
  return answerRepeat(context, operationId, decision, caller)
}

/** Ends a Worker's claim. @throws {Error} Where that could not be stored yet. */
export async function settleForWorker(
  context: ObjectContext,
  { claim, settlement, end, sealKey, events }: SettleCall,
): Promise<SettleResult> {
  const emitted = await toNewEvents(context.env, claim.operationId, events)
  const landing = { settlement: { ...settlement, by: 'worker' }, end, emitted } as const
  const result = await landClaim(context, claim, landing, sealKey)
  // Only a stored settle is taken. Until then both sides try to store it, and the second one is told so.
  if (result === null) throw new Error('A settle could not be stored yet.')
  return result
}

/** Takes over a Worker's claim while its answer is still arriving, and records the answer to its end. */
export async function streamForWorker(
  context: ObjectContext,
  call: StreamCall,
): Promise<WireResponse> {
  const { claim, limitBytes, rules, body, keeping, events, ...head } = call
  if (keeping.spillBytes !== null) requireSpill(context.env.SNAPSHOTS)
  const emitted = await toNewEvents(context.env, claim.operationId, events)
  const adopted = await adopt(context, claim)
  // A late owner's client gets its answer; nothing of it touches the record or those who wait.
  if (adopted === null) return { status: head.status, headers: head.headers, body }
  const reply = { kind: 'live', ...head, body: toLiveBody(body), declaredBytes: null } as const
  const bounds = { timeoutMs: 0, limitBytes }
  try {
    return streamAnswer(context, adopted, reply, { rules, bounds, keeping, emitted }).response
  } catch (error) {
    giveUp(context, adopted)
    throw error
  }
}

/**
 * Takes over a Worker's claim and the requests that wait for it. While it records, the object owns the
 * claim, and no lease needs to be renewed. Tries again so that a short fault of the store does not
 * lose the answer.
 */
async function adopt({ ledger, flights }: ObjectContext, claim: ClaimRef): Promise<Granted | null> {
  for (let tries = 1; tries <= ADOPT_TRIES; tries++) {
    try {
      const adopted = ledger.adopt(claim, crypto.randomUUID())
      // In the same turn: the record is the object's, and without a flight it would be an orphan.
      if (adopted !== null) flights.takeOff(adopted, { kind: 'object' })
      return adopted
    } catch (error) {
      logFault('a stream could not be taken over, so it is not recorded yet', error)
      // oxlint-disable-next-line no-await-in-loop -- one try after the other
      await scheduler.wait(ADOPT_RETRY_MS * tries)
    }
  }
  return null
}

/** Makes a live body of a stream from a Worker. A stream that breaks off was lost with its Worker. */
function toLiveBody(stream: ReadableStream<Uint8Array>): LiveBody {
  const reader = stream.getReader()
  return {
    async next() {
      const { value } = await reader.read()
      return value ?? null
    },
    faultOf: () => 'lost',
    // The sender may already be gone.
    cancel: () => void reader.cancel().catch(() => {}),
  }
}
