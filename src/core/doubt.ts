import { isDoubtful } from './claim.ts'
import type { OperationRecord } from './record.ts'

/**
 * For how many milliseconds nobody has known whether an operation was executed, or `null` where no
 * call that has ended leaves that open.
 */
export function doubtMs(record: OperationRecord, now: number): number | null {
  const since = doubtfulSince(record)
  return since === null ? null : Math.max(0, now - since)
}

function doubtfulSince(record: OperationRecord): number | null {
  if (record.state === 'unknown') return record.settledAt
  if (record.state !== 'in_progress') return null
  // A call runs or is over; an earlier one may have left it open.
  return record.attempts.find(isDoubtful)?.endedAt ?? null
}
