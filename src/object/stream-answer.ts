import type { Granted } from '../core/claim.ts'
import { toSnapshotHeaders } from '../core/headers.ts'
import {
  decideLanding,
  landStreamed,
  memoryOf,
  ownOutcomeOf,
  toSettlement,
  toUnkept,
} from '../core/landing.ts'
import type { CallPlan } from '../core/operation-guard.ts'
import type { OriginFault, Outcome } from '../core/outcome.ts'
import type { FlightEnd, LandingRules, ReplyOf } from '../core/reply.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { openCallStream } from '../origin/judge.ts'
import type { NewEvent } from './event-table.ts'
import { settleClaim } from './land-claim.ts'
import type { ObjectContext } from './object-context.ts'
import { createGeneration } from './pieces.ts'
import { pumpBody, type PumpPlan } from './pump-body.ts'
import { Recording } from './recording.ts'
import { partsOf, Sealer } from './sealer.ts'

/** How an answer that is still coming is judged, bounded and kept. */
interface StreamPlan extends Pick<CallPlan, 'rules' | 'bounds' | 'keeping'> {
  /** Events of the handler that gives it. */
  readonly emitted?: readonly NewEvent[]
}

/**
 * Answers with a body that is still coming, and records it. Who waits joins it; the claim is
 * settled at its end, whatever becomes of the clients.
 */
export function streamAnswer(
  context: ObjectContext,
  claim: Granted,
  reply: ReplyOf<'live'>,
  { rules, bounds, keeping, emitted = [] }: StreamPlan,
): { readonly response: WireResponse; readonly outcome: Outcome | null } {
  const { env, ledger, flights } = context
  const { status, headers, declaredBytes: bodyBytes, directives } = reply
  const { outcome, ...landing } = landLive(reply, rules, claim.isInDoubt)
  const sealer = new Sealer(claim, keeping.sealKey)
  const { spillBytes } = keeping
  const generation = createGeneration()
  const ref = { operationId: claim.operationId, body: generation }
  const parts = partsOf(ledger.bodies, ref, sealer, { bucket: env.SNAPSHOTS, spillBytes })
  const recording = new Recording(parts, {
    hold: () => ledger.bodies.hold(ref),
    giveUp: () => reply.body.cancel(),
  })
  const { isStorable } = directives
  // What the origin wants kept from everybody else, or cannot be kept, nobody joins.
  const isJoined = isStorable && (bodyBytes ?? 0) <= bounds.limitBytes
  const end: FlightEnd = isJoined
    ? {
        kind: 'live',
        outcome,
        status,
        headers: toSnapshotHeaders(headers, rules.snapshot),
        corsOrigin: rules.corsOrigin,
        bodyBytes,
        ...memoryOf(directives),
        open: () => recording.openJoined(),
      }
    : toUnkept(directives)
  flights.of(claim)?.land(end)
  const pumping = pumpBody(reply.body, recording, {
    limitBytes: isStorable ? bounds.limitBytes : 0,
    sealer,
    isSpilled: spillBytes !== null,
    ...landing,
    close: async (settlement, rest) => {
      settleClaim(context, claim, () => {
        const unstored = rest && { generation, ...rest }
        return ledger.settle(claim, settlement, unstored, emitted)
      })
      await ledger.onDisk()
    },
  })
  context.waitUntil(pumping)
  const body = recording.openFirst(ledger.bodies.awaitReceipt(ref))
  return { response: { status, headers, body, bodyBytes }, outcome }
}

/** What an answer means that is still coming. */
interface LiveLanding extends Pick<PumpPlan, 'onChunk' | 'toSettlement' | 'toCut' | 'toFault'> {
  /** `null` where only the end of the body can tell. */
  readonly outcome: 'succeeded' | 'failed' | null
}

/** @param isInDoubt Whether another call of the operation may have been executed. */
function landLive(reply: ReplyOf<'live'>, rules: LandingRules, isInDoubt: boolean): LiveLanding {
  const toFault = (fault: OriginFault) =>
    decideLanding({ kind: 'fault', fault, originStatus: reply.status }, rules, isInDoubt).settlement
  const call = openCallStream(reply, rules)
  if (call === null) {
    const isFailure = ownOutcomeOf(reply, rules, isInDoubt) === 'failed'
    const outcome = isFailure ? 'failed' : 'succeeded'
    return {
      outcome,
      onChunk: null,
      toSettlement: async (bodyBytes) => toSettlement(reply, outcome, bodyBytes, rules),
      toCut: async (fault) => toFault(fault),
      toFault,
    }
  }
  const toEnd = async (bodyBytes: number | null) =>
    landStreamed({ ...reply, said: await call.end() }, bodyBytes, rules, isInDoubt)
  return {
    outcome: null,
    onChunk: call.read,
    toSettlement: toEnd,
    toCut: async (fault, bodyBytes) => (call.hasResponse() ? toEnd(bodyBytes) : toFault(fault)),
    toFault,
  }
}
