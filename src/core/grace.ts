import { isDoubtful } from './claim.ts'
import type { OperationRecord } from './record.ts'
import { graceMsOf, type Recovery } from './recovery.ts'

/**
 * When the origin's word counts that it has not executed an operation. A call that was given up may
 * still be on its way there, so that its status resource knows nothing of it yet.
 *
 * @param asked What the route says now, where a request asks. The longer grace of route and record counts.
 * @returns Epoch milliseconds, counted from when the last call in doubt was given up.
 */
export function graceEndsAt(
  { attempts, recovery, claimedAt }: OperationRecord,
  asked: Recovery = recovery,
): number {
  const givenUpAt = attempts.findLast(isDoubtful)?.endedAt ?? claimedAt
  return givenUpAt + Math.max(graceMsOf(recovery), graceMsOf(asked))
}
