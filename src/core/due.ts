import {
  type ClaimFacts,
  endedUnexecuted,
  isAlive,
  isExpired,
  isForgotten,
  toTombstone,
  toUnknown,
} from './claim.ts'
import type { ExpiredRecord, InProgressRecord, OperationRecord, UnknownRecord } from './record.ts'
import { recoveryDelayMs } from './recovery.ts'

/** How soon the alarm first looks whether a claim still has an owner. */
const FIRST_LOOK_MS = 5_000
/** How seldom it looks at the most. */
const LAST_LOOK_MS = 300_000

/** What the alarm does about one record; `recover` is done after its record is stored. */
export type AlarmDecision =
  | { readonly kind: 'keep' }
  | { readonly kind: 'store'; readonly record: UnknownRecord | ExpiredRecord }
  | { readonly kind: 'recover'; readonly record: UnknownRecord }
  | { readonly kind: 'forget' }

/**
 * Decides what the alarm does about a record. The alarm tidies up what every claim judges for
 * itself, and recovers what no client comes back for; nothing depends on when it comes or how often.
 */
export function decideAlarm(record: OperationRecord, facts: ClaimFacts): AlarmDecision {
  if (record.state === 'in_progress') return decideInProgress(record, facts)
  if (record.state === 'unknown' && facts.isRunning) return { kind: 'keep' }
  if (isForgotten(record, facts)) return { kind: 'forget' }
  if (record.state === 'expired') return { kind: 'keep' }
  if (isExpired(record, facts)) return { kind: 'store', record: toTombstone(record) }
  return record.state === 'unknown' ? decideRecovery(record, facts.now) : { kind: 'keep' }
}

function decideInProgress(record: InProgressRecord, facts: ClaimFacts): AlarmDecision {
  if (isAlive(record, facts)) return { kind: 'keep' }
  // Its stored request is sent again; without one the key is free.
  if (endedUnexecuted(record) && !isDurable(record)) return { kind: 'forget' }
  const orphan = toUnknown(record, 'owner-lost', facts.now)
  return isRecoverable(orphan, facts.now)
    ? decideRecovery({ ...orphan, recoveryAt: facts.now }, facts.now)
    : { kind: 'store', record: orphan }
}

function decideRecovery(record: UnknownRecord, now: number): AlarmDecision {
  if (!isRecoverable(record, now) || now < record.recoveryAt) return { kind: 'keep' }
  const recoveryAt = now + recoveryDelayMs(record.recoveryCount + 1)
  const recoveryCount = record.recoveryCount + 1
  return { kind: 'recover', record: { ...record, recoveryAt, recoveryCount } }
}

/**
 * Whether the alarm can do something about it, by asking the origin or sending what is stored, and
 * still does: it gives up when as much time has passed as results are kept.
 */
function isRecoverable({ recovery, settledAt, retentionMs }: UnknownRecord, now: number): boolean {
  if (now >= settledAt + retentionMs) return false
  return recovery.kind === 'probe' || (recovery.kind === 'resend' && recovery.isDurable)
}

function isDurable({ recovery }: OperationRecord): boolean {
  return recovery.kind !== 'hold' && recovery.isDurable
}

/** @returns Epoch milliseconds at which the alarm should look at the record next, or `null`: never. */
export function dueAt(record: OperationRecord, now: number): number | null {
  switch (record.state) {
    case 'in_progress':
      return nextLookAt(record, now)
    case 'unknown':
      return unknownDueAt(record, now)
    case 'succeeded':
    case 'failed':
      return record.expiresAt
    case 'expired':
      return record.expiresAt + record.tombstoneMs
  }
}

function unknownDueAt(record: UnknownRecord, now: number): number | null {
  if (!isRecoverable(record, now)) return record.expiresAt
  return Math.min(record.recoveryAt, record.expiresAt ?? Infinity)
}

/** Ever more seldom: after as long as the claim has run so far. */
function nextLookAt(record: InProgressRecord, now: number): number {
  const ageMs = now - record.claimedAt
  const lookAt = now + Math.min(LAST_LOOK_MS, Math.max(FIRST_LOOK_MS, ageMs))
  return record.owner.kind === 'object' ? lookAt : Math.max(lookAt, record.owner.leaseUntil)
}
