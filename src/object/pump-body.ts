import type { OriginFault } from '../core/outcome.ts'
import type { LiveBody } from '../core/reply.ts'
import type { Settlement } from '../core/settle.ts'
import { type Pieces, toPieces } from './pieces.ts'
import type { Recording } from './recording.ts'
import type { Sealer } from './sealer.ts'

/** How a body that is recorded is settled. */
export interface PumpPlan {
  /** Bytes that are kept at the most. */
  readonly limitBytes: number
  readonly sealer: Sealer
  readonly isSpilled: boolean
  /** Called with each chunk that is recorded, where the body tells what became of the operation. */
  readonly onChunk: ((chunk: Uint8Array) => Promise<void>) | null
  /** @param bodyBytes Length of what is kept, or `null` where it is over the limit. */
  readonly toSettlement: (bodyBytes: number | null) => Promise<Settlement>
  /** For a body that has broken off behind so many bytes. */
  readonly toCut: (fault: OriginFault, bodyBytes: number | null) => Promise<Settlement>
  /** For a body that could not be recorded. */
  readonly toFault: (fault: OriginFault) => Settlement
  /** Settles. Resolves when that is on disk. */
  readonly close: (settlement: Settlement, rest: Pieces | null) => Promise<void>
}

/**
 * Records a body to its end, whatever becomes of the clients that read it, and settles. The readers
 * come to the end only behind the settle. Where nobody has read it for too long the rest is given
 * up: what became of the operation is not known then.
 */
export async function pumpBody(
  body: LiveBody,
  recording: Recording,
  plan: PumpPlan,
): Promise<void> {
  try {
    const { cut, bodyBytes } = await recordChunks(body, recording, plan)
    const settlement = await (cut === null
      ? plan.toSettlement(bodyBytes)
      : plan.toCut(cut, bodyBytes))
    await close(recording, plan, settlement, bodyBytes)
    if (cut === null) recording.end()
    else recording.break()
  } catch (error) {
    await plan.close(plan.toFault(body.faultOf(error)), null).catch(() => {})
    recording.break()
  }
}

/** @returns How long what is kept is, or `null` where it is over the limit; why it broke off, where it did. */
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

/** Of an answer over the limit no piece is kept, but its client still reads it. */
const NOTHING: Pieces = { firstPart: 0, pieces: [] }

async function close(
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
