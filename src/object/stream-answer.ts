import type { Granted } from '../core/operation/claim.ts'
import type { CallPlan } from '../core/operation/operation-guard.ts'
import type { Settlement } from '../core/operation/settle.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import {
  decideLanding,
  landStreamed,
  memoryOf,
  toSettlement,
  toUnkept,
} from '../core/outcome/landing.ts'
import type { OriginFault, Outcome } from '../core/outcome/outcome.ts'
import type { FlightEnd, LandingRules, LiveBody, ReplyOf } from '../core/outcome/reply.ts'
import { toSnapshotHeaders } from '../core/wire/headers.ts'
import { liveOutcomeOf, openCallStream } from '../origin/judge.ts'
import type { NewEvent } from './event-table.ts'
import { settleClaim } from './land-claim.ts'
import type { ObjectContext } from './object-context.ts'
import { createGeneration, type Pieces, toPieces } from './pieces.ts'
import { Recording } from './recording.ts'
import { partsOf, Sealer } from './sealer.ts'

/** How an answer that is still arriving is judged, bounded and kept. */
interface StreamPlan extends Pick<CallPlan, 'rules' | 'bounds' | 'keeping'> {
  /** Events of the handler that gives it. */
  readonly emitted?: readonly NewEvent[]
}

/**
 * Answers with a body that is still arriving, and records it. Waiting requests join it. The claim is
 * settled at its end, even if all clients have left.
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
  // Nobody joins an answer that the origin does not let us store, or that is too large.
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

/** The meaning of an answer that is still arriving. */
interface LiveLanding extends Pick<PumpPlan, 'onChunk' | 'toSettlement' | 'toFault'> {
  /** `null` where only the end of the body can tell. */
  readonly outcome: 'succeeded' | 'failed' | null
}

/** @param isInDoubt Whether another call of the operation may have been executed. */
function landLive(reply: ReplyOf<'live'>, rules: LandingRules, isInDoubt: boolean): LiveLanding {
  const toFault = (fault: OriginFault) =>
    decideLanding({ kind: 'fault', fault, originStatus: reply.status }, rules, isInDoubt).settlement
  const call = openCallStream(reply, rules)
  if (call === null) {
    const outcome = liveOutcomeOf(reply, rules, isInDoubt) ?? 'succeeded'
    return {
      outcome,
      onChunk: null,
      toSettlement: async (bodyBytes, cut) =>
        cut === null ? toSettlement(reply, outcome, bodyBytes, rules) : toFault(cut),
      toFault,
    }
  }
  return {
    outcome: null,
    onChunk: call.read,
    async toSettlement(bodyBytes, cut) {
      if (cut !== null && !call.hasResponse()) return toFault(cut)
      return landStreamed({ ...reply, said: await call.end() }, bodyBytes, rules, isInDoubt)
    },
    toFault,
  }
}

/** How a body that is recorded is settled. */
interface PumpPlan {
  /** Bytes that are kept at the most. */
  readonly limitBytes: number
  readonly sealer: Sealer
  readonly isSpilled: boolean
  /** Called with each chunk, if the body contains the outcome of the operation. */
  readonly onChunk: ((chunk: Uint8Array) => Promise<void>) | null
  /**
   * @param bodyBytes Length of the recorded body, or `null` if it is over the limit.
   * @param cut Why the body broke off, if it did.
   */
  readonly toSettlement: (bodyBytes: number | null, cut: OriginFault | null) => Promise<Settlement>
  /** For a body that could not be recorded. */
  readonly toFault: (fault: OriginFault) => Settlement
  /** Settles. Resolves when that is on disk. */
  readonly close: (settlement: Settlement, rest: Pieces | null) => Promise<void>
}

/**
 * Records a body to its end, even if all clients have left, and settles. The readers see the end only
 * after the settle. If nobody has read it for too long, the rest is given up and the outcome is
 * unknown.
 */
export async function pumpBody(
  body: LiveBody,
  recording: Recording,
  plan: PumpPlan,
): Promise<void> {
  try {
    const { cut, bodyBytes } = await recordChunks(body, recording, plan)
    await settleKept(recording, plan, await plan.toSettlement(bodyBytes, cut), bodyBytes)
    if (cut === null) recording.end()
    else recording.break()
  } catch (error) {
    await plan.close(plan.toFault(body.faultOf(error)), null).catch(() => {})
    recording.break()
  }
}

/** @returns Length of the recorded body, or `null` over the limit, and why it broke off, if it did. */
async function recordChunks(
  body: LiveBody,
  recording: Recording,
  plan: PumpPlan,
): Promise<{ readonly cut: OriginFault | null; readonly bodyBytes: number | null }> {
  let isOver = false
  const end = (cut: OriginFault | null) => ({ cut, bodyBytes: isOver ? null : recording.bytes })
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- chunks come one after the other
    const chunk = await body.next().catch((error: unknown) => ({ fault: body.faultOf(error) }))
    // Nobody reads the answer any more.
    if (recording.isGivenUp) return end('timeout')
    if (chunk === null) return end(null)
    if ('fault' in chunk) return end(chunk.fault)
    isOver ||= recording.bytes + chunk.byteLength > plan.limitBytes
    // oxlint-disable-next-line no-await-in-loop -- over the limit the first client sets the pace
    await (isOver ? recording.pass(chunk) : recording.write(chunk))
    // oxlint-disable-next-line no-await-in-loop -- as above
    await plan.onChunk?.(chunk)
  }
}

/** No piece of an answer over the limit is kept, but its client still reads it. */
const NOTHING: Pieces = { firstPart: 0, pieces: [] }

async function settleKept(
  recording: Recording,
  plan: PumpPlan,
  settlement: Settlement,
  bodyBytes: number | null,
): Promise<void> {
  if (!('snapshot' in settlement)) return plan.close(settlement, null)
  const sealed = await plan.sealer.sealSettlement(settlement)
  if (bodyBytes === null) return plan.close(sealed, NOTHING)
  if (plan.isSpilled) await recording.flush()
  const { firstPart, bytes } = recording.unstored()
  const rest = await plan.sealer.sealPieces(toPieces(bytes), firstPart)
  await plan.close(sealed, rest)
}
