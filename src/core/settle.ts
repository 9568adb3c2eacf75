import { toUnknown } from './claim.ts'
import {
  type ClaimRef,
  type OperationRecord,
  type SettledRecord,
  toBase,
  type UnknownReason,
  type UnknownRecord,
} from './record.ts'
import type { SnapshotHead } from './snapshot.ts'

/** How a claim ends. */
export type Settlement =
  | { readonly outcome: 'succeeded' | 'failed'; readonly snapshot: SnapshotHead }
  | { readonly outcome: 'not_executed' }
  | {
      readonly outcome: 'unknown'
      readonly reason: UnknownReason
      readonly originStatus: number | null
    }

/** What a settle does. `late`: its owner had been given up, but nobody had taken over. */
export type SettleDecision =
  | {
      readonly kind: 'store'
      readonly record: SettledRecord | UnknownRecord
      readonly late: boolean
    }
  | { readonly kind: 'release'; readonly late: boolean }
  | { readonly kind: 'refuse' }

/**
 * Ends a claim. Only the last claim of an operation may be ended, so a late owner never
 * overwrites what a newer one does or did.
 *
 * @param now Epoch milliseconds; retention counts from here.
 */
export function decideSettle(
  record: OperationRecord | null,
  claim: ClaimRef,
  settlement: Settlement,
  now: number,
): SettleDecision {
  if (record === null || record.fence !== claim.fence || record.claimId !== claim.claimId) {
    return { kind: 'refuse' }
  }
  if (record.state !== 'in_progress' && record.state !== 'unknown') return { kind: 'refuse' }
  const late = record.state === 'unknown'
  switch (settlement.outcome) {
    case 'not_executed':
      return { kind: 'release', late }
    case 'unknown':
      if (record.state === 'unknown') return { kind: 'refuse' }
      return {
        kind: 'store',
        record: toUnknown(record, settlement.reason, now, settlement.originStatus),
        late,
      }
    case 'succeeded':
    case 'failed':
      return { kind: 'store', record: toSettled(record, settlement, now), late }
  }
}

function toSettled(
  record: OperationRecord,
  { outcome, snapshot }: Extract<Settlement, { outcome: 'succeeded' | 'failed' }>,
  now: number,
): SettledRecord {
  const expiresAt = now + record.retentionMs
  return { ...toBase(record), state: outcome, settledAt: now, expiresAt, snapshot }
}
