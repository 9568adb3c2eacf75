import { deployedPolicies } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import { tighten } from '../core/operation/claim.ts'
import type { OperationRecord } from '../core/operation/record.ts'
import { graceMsOf } from '../core/operation/recovery.ts'
import { remember } from '../core/operation/retention.ts'

/**
 * Applies the current policy of a record's route if it is stricter than the record's own. Without a
 * request, the alarm must not resend or forget an operation that the route would now hold.
 */
export function asDeployed(record: OperationRecord): OperationRecord {
  const policies = deployedPolicies(record.operation)
  // An operation that was only observed is never sent again.
  if (policies.length === 0 || record.events === null) return record
  // Of an operation with several routes the loosest counts here: the record may be of that one.
  const retentionMs = Math.min(...policies.map(({ retention }) => retention))
  const tombstoneMs = Math.min(...policies.map(({ tombstone }) => tombstone))
  const words = policies.map(({ unknown }) => unknown)
  const remembered = remember(record, { retentionMs, tombstoneMs })
  return words.includes('resend') ? remembered : asHeld(remembered, words)
}

/** @param words How its routes treat an unknown outcome. None of them resends. */
function asHeld(record: OperationRecord, words: readonly Policy['unknown'][]): OperationRecord {
  const graces = words.flatMap((word) => (typeof word === 'object' ? [word.grace] : []))
  const { recovery } = record
  // Where the route asks by now, the next request does.
  if (recovery.kind !== 'probe' || graces.length === 0) return tighten(record, { kind: 'hold' })
  const graceMs = Math.max(graceMsOf(recovery), Math.min(...graces))
  return { ...record, recovery: { ...recovery, graceMs } }
}
