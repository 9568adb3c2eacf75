import type { Answer, SettleResult } from '../core/answer.ts'
import { type ClaimRequest, type Granted, toOwner } from '../core/claim.ts'
import type { Caller, Grant, SettleCall, StreamCall } from '../core/operation-guard.ts'
import { type ClaimRef, doubtMs, ownerOf, toRef } from '../core/record.ts'
import type { LiveBody } from '../core/reply.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { logFault } from '../metrics/log.ts'
import { requireSpill } from '../platform/spill.ts'
import { answerRepeat, type Orphaned } from './answer-repeat.ts'
import { claimOperation, lookAhead, reclaim, refuseLate, refuseNew } from './claim-operation.ts'
import { toNewEvents } from './event-deliveries.ts'
import { giveUp, landClaim } from './land-claim.ts'
import { keepAlive, type ObjectContext } from './object-context.ts'
import { streamAnswer } from './stream-answer.ts'

/** How often a stream is tried to be taken over, and after how long, growing with each. */
const ADOPT_TRIES = 4
const ADOPT_RETRY_MS = 50

/** Grants an operation to a Worker under a lease, or answers from what is known about it. */
export async function claimForWorker(
  context: ObjectContext,
  request: ClaimRequest,
  caller: Caller,
): Promise<Grant | Answer | Orphaned> {
  const { operationId } = request
  const refusal = await refuseNew(context, request, caller)
  if (refusal !== null) return refusal
  const late = refuseLate(caller)
  if (late !== null && lookAhead(context, request)?.kind === 'execute') return late
  const decision = claimOperation(context, request, null)
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
  // Taken is what is stored. Until then both sides try it, and the one that comes second is told so.
  if (result === null) throw new Error('A settle could not be stored yet.')
  return result
}

/** Takes a Worker's claim over while its answer is still coming, and records that to its end. */
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
 * Takes a Worker's claim over, and those who wait for it along: while it records, the object drives
 * the claim, and nobody needs to renew a lease. The answer must not be lost for a fault of the
 * store that is over in a moment.
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

/** Makes a live body of a stream that a Worker sends; one that breaks off was lost with its Worker. */
function toLiveBody(stream: ReadableStream<Uint8Array>): LiveBody {
  const reader = stream.getReader()
  return {
    async next() {
      const { value } = await reader.read()
      return value ?? null
    },
    faultOf: () => 'lost',
    // Who sends it may have gone already.
    cancel: () => void reader.cancel().catch(() => {}),
  }
}
