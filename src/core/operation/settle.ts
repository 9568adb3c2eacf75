import { isRefusalOfCaller, isRefusalOfRequest, type Outcome } from '../outcome/outcome.ts'
import { type Evidence, closeAttempt, isUnexecuted, toUnexecuted } from './attempts.ts'
import { toUnknown } from './claim.ts'
import {
  type ClaimRef,
  type InProgressRecord,
  type OperationRecord,
  type SettledRecord,
  toBase,
  type UnknownReason,
  type UnknownRecord,
} from './record.ts'
import { toUnstored } from './recovery.ts'
import type { StoredHead } from './snapshot.ts'

/** The end of a claim, as it is stored, without what only waiting requests need. */
export type Settlement = {
  readonly evidence: Evidence
  /** Set if a Worker settles its own claim. If it does not hear the result, it settles again. */
  readonly by?: 'worker'
} & (
  | {
      readonly outcome: 'succeeded' | 'failed'
      readonly snapshot: StoredHead
      /** Milliseconds, if the origin set them; else the route's apply. */
      readonly retentionMs: number | null
    }
  | {
      readonly outcome: 'not_executed'
      /** Whether this is known of every call of the operation, not only of the last one. */
      readonly coversAll: boolean
      /** Whether only the client can fix it, so that sending it again is useless. */
      readonly isRefusal?: true
    }
  | { readonly outcome: 'unknown'; readonly reason: UnknownReason }
)

/** What a settle does. `isLate`: its owner had been given up, but nobody had taken over yet. */
export type SettleDecision =
  | {
      readonly kind: 'store'
      readonly record: SettledRecord | UnknownRecord | InProgressRecord
      readonly isLate: boolean
    }
  | { readonly kind: 'release'; readonly isLate: boolean }
  /** It was taken before, and its Worker did not hear the result: nothing changes. */
  | { readonly kind: 'repeat' }
  | { readonly kind: 'refuse' }

/**
 * Ends a claim. Only the last claim of an operation can be ended, so a late owner never overwrites
 * the work of a newer one.
 *
 * @param now Epoch milliseconds; retention counts from here.
 */
export function decideSettle(
  record: OperationRecord | null,
  claim: ClaimRef,
  settlement: Settlement,
  now: number,
): SettleDecision {
  if (isRepeat(record, claim, settlement)) return { kind: 'repeat' }
  if (!isOpen(record, claim)) return { kind: 'refuse' }
  const isLate = record.state === 'unknown' || hasLostLease(record, now)
  const known = { ...record, attempts: closeAttempt(record, settlement, now) }
  switch (settlement.outcome) {
    case 'not_executed':
      if (settlement.coversAll || isUnexecuted(known)) return release(known, settlement, isLate)
      return leaveUnknown(unlessRefused(known, settlement), 'origin-answered', now, isLate)
    case 'unknown':
      return leaveUnknown(unlessRefused(known, settlement), settlement.reason, now, isLate)
    case 'succeeded':
    case 'failed':
      return { kind: 'store', record: toSettled(known, settlement, now), isLate }
  }
}

/**
 * Notes that a call has ended and another one follows. An owner that is lost in between then leaves no
 * needless doubt. @returns `null` if the claim is no longer the last one.
 */
export function noteAttempt(
  record: OperationRecord | null,
  claim: ClaimRef,
  end: { readonly outcome: Outcome; readonly evidence: Evidence },
  now: number,
): InProgressRecord | null {
  if (!isOpen(record, claim) || record.state !== 'in_progress') return null
  return { ...record, attempts: closeAttempt(record, end, now) }
}

/** Whether a record still waits for the end of this claim. */
export function isOpen(
  record: OperationRecord | null,
  claim: ClaimRef,
): record is InProgressRecord | UnknownRecord {
  if (record === null || !isSameClaim(record, claim)) return false
  return record.state === 'in_progress' || record.state === 'unknown'
}

const isSameClaim = (record: OperationRecord, { fence, claimId }: ClaimRef): boolean =>
  record.fence === fence && record.claimId === claimId

/** Whether a Worker repeats a settle that was taken. */
function isRepeat(
  record: OperationRecord | null,
  claim: ClaimRef,
  settlement: Settlement,
): boolean {
  if (settlement.by !== 'worker') return false
  // The key is free, as it says.
  if (record === null) return settlement.outcome === 'not_executed'
  if (!isSameClaim(record, claim)) return false
  if (record.state === 'unknown' && settlement.outcome === 'not_executed') {
    // An earlier call leaves the operation in doubt.
    return record.attempts.at(-1)?.outcome === 'not_executed'
  }
  if (record.state !== settlement.outcome) return false
  if (record.state !== 'unknown') return record.settledBy === 'worker'
  return settlement.outcome === 'unknown' && record.reason === settlement.reason
}

/** Frees the key, unless the operation was accepted and its request is stored: then the alarm sends it again. */
function release(
  record: InProgressRecord | UnknownRecord,
  { evidence, coversAll, isRefusal }: Extract<Settlement, { outcome: 'not_executed' }>,
  isLate: boolean,
): SettleDecision {
  // If only the client can fix it, it is not sent again, and nothing is stored.
  const isRefused = isRefusalOfRequest(evidence.originStatus) || isRefusal === true
  if (isRefused || !record.isAccepted || record.recovery.isDurable !== true) {
    return { kind: 'release', isLate }
  }
  const attempts = coversAll ? record.attempts.map(toUnexecuted) : record.attempts
  const again: InProgressRecord = {
    ...toBase(record),
    state: 'in_progress',
    owner: { kind: 'object' },
    attempts,
  }
  return { kind: 'store', record: again, isLate }
}

/** A request whose caller is refused is not kept: sent again by the alarm it would lock the caller out. */
function unlessRefused<record extends InProgressRecord | UnknownRecord>(
  record: record,
  { evidence }: Settlement,
): record {
  if (!isRefusalOfCaller(evidence.originStatus)) return record
  return { ...record, recovery: toUnstored(record.recovery) }
}

function leaveUnknown(
  record: InProgressRecord | UnknownRecord,
  reason: UnknownReason,
  now: number,
  isLate: boolean,
): SettleDecision {
  if (record.state === 'unknown') return { kind: 'refuse' }
  return { kind: 'store', record: toUnknown(record, reason, now), isLate }
}

function hasLostLease(record: InProgressRecord | UnknownRecord, now: number): boolean {
  if (record.state !== 'in_progress' || record.owner.kind === 'object') return false
  return now >= record.owner.leaseUntil
}

function toSettled(
  record: OperationRecord,
  { outcome, snapshot, retentionMs, by }: Extract<Settlement, { outcome: 'succeeded' | 'failed' }>,
  now: number,
): SettledRecord {
  const expiresAt = now + (retentionMs ?? record.retentionMs)
  const settled = { ...toBase(record), state: outcome, settledAt: now, expiresAt, snapshot }
  return by === undefined ? settled : { ...settled, settledBy: by }
}
