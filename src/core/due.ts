import { isDoubtful, isUnexecuted, leftAloneUntil } from './attempts.ts'
import { isAlive, toUnknown } from './claim.ts'
import type { ExpiredRecord, InProgressRecord, OperationRecord, UnknownRecord } from './record.ts'
import { graceMsOf, type Recovery, recoveryDelayMs } from './recovery.ts'
import { type ClaimFacts, isExpired, isForgotten, toTombstone } from './retention.ts'

/** How soon the alarm first looks whether a claim still has an owner. */
const FIRST_LOOK_MS = 5_000
/** How seldom it looks at the most. */
const LAST_LOOK_MS = 300_000
/** How soon it looks again at a result that is read for longer than it is to be remembered. */
const READ_LOOK_MS = 60_000

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
  return record.state === 'unknown' ? decideUnknown(record, facts.now) : { kind: 'keep' }
}

function decideInProgress(record: InProgressRecord, facts: ClaimFacts): AlarmDecision {
  if (isAlive(record, facts)) return { kind: 'keep' }
  // What was not executed is sent again where it is stored, for as long as results are kept.
  const isOver = !isDurable(record) || facts.now >= record.createdAt + record.retentionMs
  if (isUnexecuted(record) && isOver) return { kind: 'forget' }
  const orphan = toUnknown(record, 'owner-lost', facts.now)
  return isRecoverable(orphan, facts.now)
    ? decideRecovery({ ...orphan, recoveryAt: facts.now }, facts.now)
    : { kind: 'store', record: orphan }
}

function decideUnknown(record: UnknownRecord, now: number): AlarmDecision {
  const isGivenUp = isUnexecuted(record) && !isRecoverable(record, now)
  return isGivenUp ? { kind: 'forget' } : decideRecovery(record, now)
}

function decideRecovery(record: UnknownRecord, now: number): AlarmDecision {
  if (!isRecoverable(record, now) || now < record.recoveryAt) return { kind: 'keep' }
  const recoveryCount = record.recoveryCount + 1
  const recoveryAt = nextRecoveryAt(record, recoveryCount, now)
  return { kind: 'recover', record: { ...record, recoveryAt, recoveryCount } }
}

/** With backoff, but not later than the origin's word counts that it has not executed it. */
function nextRecoveryAt(record: UnknownRecord, recoveryCount: number, now: number): number {
  const at = now + recoveryDelayMs(recoveryCount)
  const graceAt = graceEndsAt(record)
  return graceAt > now ? Math.min(at, graceAt) : at
}

/**
 * Whether the alarm can do something about it, by asking the origin or sending what is stored, and
 * still does: it gives up when as much time has passed as results are kept, any grace first.
 */
export function isRecoverable(record: UnknownRecord, now: number): boolean {
  const { recovery, settledAt, retentionMs } = record
  if (now >= settledAt + graceMsOf(recovery) + retentionMs) return false
  // What the status resource answers could not be sealed without the request.
  if (recovery.kind === 'probe') return isDurable(record) || !recovery.rules.snapshot.seal
  return isDurable(record) && (recovery.kind === 'resend' || isUnexecuted(record))
}

function isDurable({ recovery }: OperationRecord): boolean {
  return recovery.isDurable === true
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
      // Overdue while its own client still reads it: the end of that sets another time.
      return record.expiresAt > now ? record.expiresAt : now + READ_LOOK_MS
    case 'expired':
      return record.expiresAt + record.tombstoneMs
  }
}

function unknownDueAt(record: UnknownRecord, now: number): number | null {
  const { recoveryAt, expiresAt } = record
  const at = isRecoverable(record, now) ? Math.min(recoveryAt, expiresAt ?? Infinity) : expiresAt
  // Overdue while the origin is asked on a client's behalf: looked at again, but not at once.
  const isOverdue = at === null ? isUnexecuted(record) : at <= now
  return isOverdue ? now + recoveryDelayMs(0) : at
}

/** Not while the origin asks to be left alone. */
function nextLookAt(record: InProgressRecord, now: number): number {
  return Math.max(ownLookAt(record, now), leftAloneUntil(record))
}

/** Ever more seldom: after as long as the claim has run so far. */
function ownLookAt(record: InProgressRecord, now: number): number {
  if (isUnexecuted(record)) return now + recoveryDelayMs(record.attempts.length - 1)
  const ageMs = now - record.claimedAt
  const lookAt = now + Math.min(LAST_LOOK_MS, Math.max(FIRST_LOOK_MS, ageMs))
  return record.owner.kind === 'object' ? lookAt : Math.max(lookAt, record.owner.leaseUntil)
}

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
