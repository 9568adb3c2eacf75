import type { OriginFault } from '../core/outcome.ts'
import type { LiveBody } from '../core/reply.ts'
import type { Settlement } from '../core/settle.ts'
import { type Pieces, toPieces } from './record-store.ts'
import type { Recording } from './recording.ts'
import { sealPieces, type Sealer, sealSettlement } from './sealer.ts'

/** How a body that is recorded is settled. */
export interface RecordingPlan {
  /** Bytes that are kept at the most. */
  readonly limitBytes: number
  readonly sealer: Sealer | null
  readonly isSpilled: boolean
  /** @param bodyBytes Length of what is kept, or `null` where it is over the limit. */
  readonly toSettlement: (bodyBytes: number | null) => Settlement
  readonly toFault: (fault: OriginFault) => Settlement
  /** Settles. Resolves when that is on disk. */
  readonly close: (settlement: Settlement, rest: Pieces | null) => Promise<void>
}

/**
 * Records a body to its end, whatever becomes of the clients that read it, and settles. The readers
 * come to the end only behind the settle. Where nobody has read it for too long the rest is given
 * up: what became of the operation is not known then.
 */
export async function recordBody(
  body: LiveBody,
  recording: Recording,
  plan: RecordingPlan,
): Promise<void> {
  let isOver = false
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- chunks come one after the other
      const chunk = await body.next()
      if (recording.isGivenUp) throw new Error('Nobody reads the answer any more.')
      if (chunk === null) break
      isOver ||= recording.bytes + chunk.byteLength > plan.limitBytes
      // oxlint-disable-next-line no-await-in-loop -- over the limit the first client sets the pace
      await (isOver ? recording.pass(chunk) : recording.write(chunk))
    }
    await (isOver ? closeOver(plan) : closeWhole(recording, plan))
    recording.end()
  } catch (error) {
    const fault = recording.isGivenUp ? 'timeout' : body.faultOf(error)
    await plan.close(plan.toFault(fault), null).catch(() => {})
    recording.break()
  }
}

/** Of an answer over the limit no piece is kept, but its client still reads it. */
const NOTHING: Pieces = { firstPart: 0, pieces: [] }

async function closeOver(plan: RecordingPlan): Promise<void> {
  await plan.close(await sealSettlement(plan.toSettlement(null), plan.sealer), NOTHING)
}

async function closeWhole(recording: Recording, plan: RecordingPlan): Promise<void> {
  if (plan.isSpilled) await recording.flush()
  const { firstPart, bytes } = recording.unstored()
  const rest = await sealPieces(toPieces(bytes), plan.sealer, firstPart)
  await plan.close(await sealSettlement(plan.toSettlement(recording.bytes), plan.sealer), rest)
}
