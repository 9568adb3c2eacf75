import { isDoubtful, isUnexecuted, leftAloneUntil } from './attempts.ts'
import { isAlive, toUnknown } from './claim.ts'
import type { ExpiredRecord, InProgressRecord, OperationRecord, UnknownRecord } from './record.ts'
import { graceMsOf, type Recovery, recoveryDelayMs } from './recovery.ts'
import { type ClaimFacts, isExpired, isForgotten, toTombstone } from './retention.ts'

/** After which time the alarm first checks whether a claim still has an owner. */
export const FIRST_LOOK_MS = 5_000
/** The longest time between two checks. */
const LAST_LOOK_MS = 300_000
/** After which time it checks again whether a result that has expired is still read. */
const READ_LOOK_MS = 60_000

/** What the alarm does about a record. `recover` follows after the record is stored. */
export type AlarmDecision =
  | { readonly kind: 'keep' }
  | { readonly kind: 'store'; readonly record: UnknownRecord | ExpiredRecord }
  | { readonly kind: 'recover'; readonly record: UnknownRecord }
  | { readonly kind: 'forget' }

/**
 * Decides what the alarm does about a record: it tidies up, and recovers operations whose client does
 * not return. Every claim judges a record itself, so nothing depends on when the alarm runs.
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
  // A stored request that was not executed is sent again, for as long as results are kept.
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

/** With backoff, but no later than the end of the grace, when the origin's "not executed" counts. */
function nextRecoveryAt(record: UnknownRecord, recoveryCount: number, now: number): number {
  const at = now + recoveryDelayMs(recoveryCount)
  const graceAt = graceEndsAt(record)
  return graceAt > now ? Math.min(at, graceAt) : at
}

/**
 * Whether the alarm still recovers an operation, by asking the origin or sending the stored request.
 * It gives up after the grace and the time for which results are kept.
 */
export function isRecoverable(record: UnknownRecord, now: number): boolean {
  const { recovery, settledAt, retentionMs } = record
  if (now >= settledAt + graceMsOf(recovery) + retentionMs) return false
  // Without the request, the answer of the status resource could not be sealed.
  if (recovery.kind === 'probe') return isDurable(record) || !recovery.rules.snapshot.seal
  return isDurable(record) && (recovery.kind !== 'hold' || isUnexecuted(record))
}

function isDurable({ recovery }: OperationRecord): boolean {
  return recovery.isDurable === true
}

/** @returns Epoch milliseconds at which the alarm should look at the record next, or `null`: never. */
export function dueAt(record: OperationRecord, now: number): number | null {
  switch (record.state) {
    case 'in_progress':
      // Not while the origin asks for no other call.
      return Math.max(nextLookAt(record, now), leftAloneUntil(record))
    case 'unknown':
      return unknownDueAt(record, now)
    case 'succeeded':
    case 'failed':
      // Overdue while its own client still reads it. The end of reading sets another time.
      return record.expiresAt > now ? record.expiresAt : now + READ_LOOK_MS
    case 'expired':
      return record.expiresAt + record.tombstoneMs
  }
}

/** How much later than retention ends the alarm of a claim is set, relative to retention. */
const LAZINESS = 1 / 64

/**
 * The same for an object with an alarm of its own, where each setting is billed. While nothing can be
 * recovered, the alarm that deletes the result is set with the claim, and finds a lost owner as well.
 * A claim that takes longer than usual is looked after.
 */
export function lazyDueAt(record: OperationRecord, now: number): number | null {
  if (!isUnrecoverable(record) || isLong(record, now)) return dueAt(record, now)
  const lazyAt = record.claimedAt + Math.ceil(record.retentionMs * (1 + LAZINESS))
  // A call may take longer than its result is kept.
  return lazyAt > now ? lazyAt : dueAt(record, now)
}

/** Whether nothing can be done about a claim whose owner is lost, but to say so. */
function isUnrecoverable(record: OperationRecord): boolean {
  const { state, recovery } = record
  if (state !== 'in_progress' || recovery.kind !== 'hold') return false
  return !isDurable(record) && !isUnexecuted(record)
}

const isLong = ({ claimedAt }: OperationRecord, now: number) => now - claimedAt >= FIRST_LOOK_MS

/** Whether an alarm at `alarmAt` is soon enough for what is due at `at`: deleting may be a little late. */
export function isSoonEnough(alarmAt: number, at: number, now: number): boolean {
  return alarmAt >= at && alarmAt - at <= (at - now) * LAZINESS
}

/** Whether the alarm has something to do for a record. @param at What `lazyDueAt` said when it was stored. */
export function isDue(record: OperationRecord, at: number | null, now: number): boolean {
  return (at !== null && at <= now) || (isUnrecoverable(record) && isLong(record, now))
}

function unknownDueAt(record: UnknownRecord, now: number): number | null {
  const { recoveryAt, expiresAt } = record
  const at = isRecoverable(record, now) ? Math.min(recoveryAt, expiresAt ?? Infinity) : expiresAt
  // Overdue while the origin is asked on a client's behalf: check again, but not at once.
  const isOverdue = at === null ? isUnexecuted(record) : at <= now
  return isOverdue ? now + recoveryDelayMs(0) : at
}

/** Checks less and less often: after as long as the claim has run so far, and not during a lease. */
function nextLookAt(record: InProgressRecord, now: number): number {
  if (isUnexecuted(record)) return now + recoveryDelayMs(record.attempts.length - 1)
  const delayMs = Math.min(LAST_LOOK_MS, Math.max(FIRST_LOOK_MS, now - record.claimedAt))
  const { owner } = record
  return owner.kind === 'object' ? now + delayMs : Math.max(now + delayMs, owner.leaseUntil)
}

/**
 * When the origin's word counts that an operation was not executed, in epoch milliseconds. A call that
 * was given up may still arrive there.
 *
 * @param asked The present policy of the route. The longer grace of route and record counts.
 */
export function graceEndsAt(
  { attempts, recovery, claimedAt }: OperationRecord,
  asked: Recovery = recovery,
): number {
  const givenUpAt = attempts.findLast(isDoubtful)?.endedAt ?? claimedAt
  return givenUpAt + Math.max(graceMsOf(recovery), graceMsOf(asked))
}
