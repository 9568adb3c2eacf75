import type { Answer, SettleResult } from '../core/operation/answer.ts'
import { lastDoubtMs } from '../core/operation/attempts.ts'
import {
  type ClaimDecision,
  type ClaimRequest,
  type Granted,
  toGranted,
  toOwner,
} from '../core/operation/claim.ts'
import type {
  Caller,
  ClaimDetails,
  Forwarding,
  Grant,
  LeasedClaim,
  SettleCall,
  StreamCall,
} from '../core/operation/operation-guard.ts'
import { type ClaimRef, doubtMs, type Moved, ownerOf } from '../core/operation/record.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import type { OriginFault } from '../core/outcome/outcome.ts'
import type { LiveBody } from '../core/outcome/reply.ts'
import { logFault } from '../metrics/log.ts'
import { requireSpill } from '../platform/spill.ts'
import { answerRepeat, type Orphaned } from './answer-repeat.ts'
import { claimOperation, lookAhead, reclaim, refuseLate, refuseNew } from './claim-operation.ts'
import { toNewEvents } from './event-deliveries.ts'
import { resolveCall } from './execute-call.ts'
import { giveUp, landClaim } from './land-claim.ts'
import { keepAlive, type ObjectContext } from './object-context.ts'
import { streamAnswer } from './stream-answer.ts'

/** Tries to take over a stream, and the pause between them in milliseconds, which grows with each try. */
const ADOPT_TRIES = 4
const ADOPT_RETRY_MS = 50

/** A claim of a Worker that runs a handler. */
const NO_FORWARDING: Forwarding = { stored: null, circuitMs: null, call: null }

/** Grants an operation to a Worker under a lease, or answers from what is known about it. */
export async function claimForWorker(
  context: ObjectContext,
  request: ClaimRequest,
  caller: Caller,
  { explanation = null, forwarding = NO_FORWARDING }: ClaimDetails,
): Promise<Grant | Answer | Orphaned | Moved> {
  const { operationId } = request
  const refusal = await refuseNew(context, request, caller)
  if (refusal !== null) return refusal
  const ahead = lookAhead(context, request)
  const refused = refuseForwarding(caller, forwarding)
  if (refused !== null && ahead?.kind === 'execute') return refused
  const { stored } = forwarding
  const decision = claimOperation(context, { request, stored, explanation, ahead })
  if (decision.kind === 'execute') {
    const { record } = decision
    const claim = toGranted(operationId, record)
    context.flights.takeOff(claim, ownerOf(record))
    const now = Date.now()
    const doubt = { doubtMs: doubtMs(record, now), lastDoubtMs: lastDoubtMs(record, now) }
    return { kind: 'granted', claim, ...doubt }
  }
  if (decision.kind === 'probe') {
    return keepAlive(context, resolveForWorker(context, { request, caller, forwarding }, decision))
  }
  return answerRepeat(context, operationId, decision, caller)
}

/** Refuses a call that is too late, or for which the circuit to the origin is open, as its Worker says. */
function refuseForwarding(caller: Caller, { circuitMs }: Forwarding): Answer | null {
  const late = refuseLate(caller)
  if (late !== null || circuitMs === null) return late
  return { kind: 'circuit_open', retryAfterMs: circuitMs }
}

/** A claim of a Worker. */
interface WorkerClaim {
  readonly request: ClaimRequest
  readonly caller: Caller
  readonly forwarding: Forwarding
}

/** Asks the origin what became of an earlier call, and grants the operation if that was not executed. */
async function resolveForWorker(
  context: ObjectContext,
  { request, caller, forwarding }: WorkerClaim,
  decision: Extract<ClaimDecision, { readonly kind: 'probe' }>,
): Promise<Grant | Answer | Orphaned | Moved> {
  const { stored, call } = forwarding
  // Nobody waits for the end of the question, to whom the claim could be granted.
  if (call !== null) return resolveCall(context, call, stored, decision)
  const refuse = () => refuseForwarding(caller, forwarding)
  const claim = await reclaim(context, { request, stored, caller, refuse }, decision)
  if ('kind' in claim) return claim
  context.flights.takeOff(claim, toOwner(request, Date.now()))
  return { kind: 'granted', claim }
}

/** Makes the next claim of a Worker that calls the origin again. */
export function claimAgainForWorker(
  { ledger, flights }: ObjectContext,
  claim: ClaimRef,
  { claimId, leaseMs }: LeasedClaim,
): Granted | null {
  const { operationId, fence } = claim
  const record = ledger.find(operationId)
  // The answer to this question was lost, and it is asked again.
  const isRepeat = record?.claimId === claimId && record.fence === fence + 1
  if (isRepeat) return record.state === 'in_progress' ? toGranted(operationId, record) : null
  const owner = toOwner({ leaseMs }, Date.now())
  const granted = ledger.claimAgain(claim, { claimId, owner, isResolved: false })
  if (granted !== null) flights.takeOff(granted, owner)
  return granted
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
  const { claim, limitBytes, rules, body, declaredBytes = null, keeping, events, ...rest } = call
  const { faultOf, ...head } = rest
  if (keeping.spillBytes !== null) requireSpill(context.env.SNAPSHOTS)
  const emitted = await toNewEvents(context.env, claim.operationId, events)
  const adopted = await adopt(context, claim)
  // A late owner's client gets its answer; nothing of it touches the record or those who wait.
  if (adopted === null) {
    void faultOf?.().catch(() => {})
    const { status, headers } = head
    return { status, headers, body, bodyBytes: declaredBytes, isLate: true }
  }
  const live = toLiveBody(body, faultOf)
  const reply = { kind: 'live', ...head, body: live, declaredBytes } as const
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

/** A stub of a function; it lives only as long as the call that brought it, unless it is copied. */
type FaultStub = NonNullable<StreamCall['faultOf']> &
  Partial<Disposable> & { readonly dup?: () => FaultStub }

/** Makes a live body of a stream from a Worker. A stream that breaks off was lost with its Worker, unless that says why. */
function toLiveBody(stream: ReadableStream<Uint8Array>, faultOf?: FaultStub): LiveBody {
  const reader = stream.getReader()
  const kept = faultOf?.dup?.() ?? faultOf
  let fault: OriginFault = 'lost'
  const drop = () => kept?.[Symbol.dispose]?.()
  // Its Worker stays until it is asked.
  const ask = async () => {
    fault = (await kept?.().catch(() => null)) ?? fault
    drop()
  }
  return {
    async next() {
      try {
        const { value } = await reader.read()
        if (value === undefined) void ask()
        return value ?? null
      } catch (error) {
        await ask()
        throw error
      }
    },
    faultOf: () => fault,
    cancel() {
      drop()
      // The sender may already be gone.
      reader.cancel().catch(() => {})
    },
  }
}
