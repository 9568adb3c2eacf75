import type { OriginFault } from '../core/outcome.ts'
import type { LiveBody } from '../core/reply.ts'
import type { Settlement } from '../core/settle.ts'
import { toPieces, type UnstoredBody } from './record-store.ts'
import type { Recording } from './recording.ts'
import { sealBody, type Sealer, sealSettlement } from './sealer.ts'

/** How a body that is recorded is settled. */
export interface RecordingPlan {
  /** Bytes that are kept at the most. */
  readonly limitBytes: number
  readonly sealer: Sealer | null
  readonly isSpilled: boolean
  /** @param bodyBytes Length of what is kept, or `null` where it is over the limit. */
  readonly toSettlement: (bodyBytes: number | null) => Settlement
  readonly toFault: (fault: OriginFault) => Settlement
  readonly close: (settlement: Settlement, body: UnstoredBody | null) => void
  /** Drops what was stored of a body that turned out to be too large. */
  readonly dropBody: () => void
}

/**
 * Records a body to its end, whatever becomes of the clients that read it, and settles. The readers
 * come to the end only behind the settle.
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
      if (chunk === null) break
      isOver ||= recording.bytes + chunk.byteLength > plan.limitBytes
      // oxlint-disable-next-line no-await-in-loop -- over the limit the first client sets the pace
      await (isOver ? recording.pass(chunk) : recording.write(chunk))
    }
    await (isOver ? closeOver(plan) : closeWhole(recording, plan))
    recording.end()
  } catch (error) {
    plan.close(plan.toFault(body.faultOf(error)), null)
    recording.break()
  }
}

async function closeOver(plan: RecordingPlan): Promise<void> {
  plan.dropBody()
  plan.close(await sealSettlement(plan.toSettlement(null), plan.sealer), null)
}

async function closeWhole(recording: Recording, plan: RecordingPlan): Promise<void> {
  if (plan.isSpilled) await recording.flush()
  const { firstPart, bytes } = recording.unstored()
  const rest = await sealBody(toPieces(bytes), plan.sealer, firstPart)
  plan.close(await sealSettlement(plan.toSettlement(recording.bytes), plan.sealer), rest)
}
