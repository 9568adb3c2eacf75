import {
  type ClaimFacts,
  isAlive,
  isExpired,
  isForgotten,
  toTombstone,
  toUnknown,
} from './claim.ts'
import type { ExpiredRecord, InProgressRecord, OperationRecord, UnknownRecord } from './record.ts'

/** How soon the alarm first looks whether a claim still has an owner. */
const FIRST_LOOK_MS = 5_000
/** How seldom it looks at the most. */
const LAST_LOOK_MS = 300_000

/** What the alarm does about one record. */
export type AlarmDecision =
  | { readonly kind: 'keep' }
  | { readonly kind: 'store'; readonly record: UnknownRecord | ExpiredRecord }
  | { readonly kind: 'forget' }

/**
 * Decides what the alarm does about a record. The alarm only tidies up what every claim judges
 * for itself, so nothing depends on when it comes or how often.
 */
export function decideAlarm(record: OperationRecord, facts: ClaimFacts): AlarmDecision {
  if (record.state === 'in_progress') {
    if (isAlive(record, facts)) return { kind: 'keep' }
    return { kind: 'store', record: toUnknown(record, 'owner-lost', facts.now) }
  }
  if (isForgotten(record, facts.now)) return { kind: 'forget' }
  if (record.state === 'expired' || !isExpired(record, facts.now)) return { kind: 'keep' }
  return { kind: 'store', record: toTombstone(record) }
}

/** @returns Epoch milliseconds at which the alarm should look at the record next. */
export function dueAt(record: OperationRecord, now: number): number {
  switch (record.state) {
    case 'in_progress':
      return nextLookAt(record, now)
    case 'succeeded':
    case 'failed':
    case 'unknown':
      return record.expiresAt
    case 'expired':
      return record.expiresAt + record.tombstoneMs
  }
}

/** Ever more seldom: after as long as the claim has run so far. */
function nextLookAt(record: InProgressRecord, now: number): number {
  const ageMs = now - record.claimedAt
  const lookAt = now + Math.min(LAST_LOOK_MS, Math.max(FIRST_LOOK_MS, ageMs))
  return record.owner.kind === 'object' ? lookAt : Math.max(lookAt, record.owner.leaseUntil)
}
