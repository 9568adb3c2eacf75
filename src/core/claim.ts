import {
  type Attempt,
  type ExpiredRecord,
  type InProgressRecord,
  type Memory,
  type OperationRecord,
  type Owner,
  type SettledRecord,
  toBase,
  type UnknownReason,
  type UnknownRecord,
} from './record.ts'
import { type Recovery, recoveryDelayMs } from './recovery.ts'

/** What every claim brings with it. */
export interface ClaimRequest extends Memory {
  readonly operationId: string
  readonly operation: string
  readonly tenant: string
  readonly fingerprint: string
  /** Random; names this claim should it be granted. */
  readonly claimId: string
  readonly correlationId: string
  readonly recovery: Recovery
  /** Milliseconds that a Worker may run without renewal; `null` where the object runs the call. */
  readonly leaseMs: number | null
}

/** What only the caller of the decision can know. */
export interface ClaimFacts {
  /** Epoch milliseconds. */
  readonly now: number
  /** Whether this object holds the running call of the record in memory. */
  readonly isRunning: boolean
}

/** The fate of a request. Where it has a `record`, that record is to be stored. */
export type ClaimDecision =
  | { readonly kind: 'execute'; readonly record: InProgressRecord }
  | { readonly kind: 'replay'; readonly settled: SettledRecord }
  | { readonly kind: 'in_flight'; readonly running: InProgressRecord | UnknownRecord }
  | { readonly kind: 'mismatch'; readonly known: OperationRecord }
  | { readonly kind: 'hold'; readonly record: UnknownRecord }
  | { readonly kind: 'probe'; readonly record: UnknownRecord }
  | { readonly kind: 'expired'; readonly known: OperationRecord }

const FIRST_FENCE = 1

/** Whether a decision begins an operation that nobody has heard of before. */
export function isNew(decision: ClaimDecision): boolean {
  return decision.kind === 'execute' && decision.record.fence === FIRST_FENCE
}

/** Evidence that is kept: of so many calls at the most. */
const MAX_ATTEMPTS_KEPT = 20

/**
 * Decides the fate of a request from what is already known about its operation.
 *
 * The fingerprint is compared before the state, so a key reused for another payload is reported
 * as a mismatch even while the first request is still running.
 */
export function decideClaim(
  record: OperationRecord | null,
  request: ClaimRequest,
  facts: ClaimFacts,
): ClaimDecision {
  if (record === null || isForgotten(record, facts)) return execute(request, null, facts.now)
  if (record.state === 'expired' || isExpired(record, facts)) {
    return { kind: 'expired', known: record }
  }
  if (record.fingerprint !== request.fingerprint) return { kind: 'mismatch', known: record }
  return decideByState(record, request, facts)
}

function decideByState(
  record: Exclude<OperationRecord, ExpiredRecord>,
  request: ClaimRequest,
  facts: ClaimFacts,
): ClaimDecision {
  switch (record.state) {
    case 'in_progress':
      // The claim was granted and its answer was lost on the way: its Worker asks again.
      if (isGrantOf(record, request)) return { kind: 'execute', record }
      if (isAlive(record, facts)) return { kind: 'in_flight', running: record }
      if (endedUnexecuted(record)) return execute(request, record, facts.now)
      return recover(toUnknown(record, 'owner-lost', facts.now), request, facts.now)
    case 'unknown':
      // Somebody asks the origin's status resource right now.
      if (facts.isRunning) return { kind: 'in_flight', running: record }
      return recover(record, request, facts.now)
    case 'succeeded':
    case 'failed':
      return { kind: 'replay', settled: record }
  }
}

function isGrantOf(record: InProgressRecord, request: ClaimRequest): boolean {
  return record.owner.kind === 'worker' && record.claimId === request.claimId
}

/**
 * Whether somebody still drives the claim. An object that does not hold the call in memory has
 * restarted since, so the call is lost: that is known at once, without waiting for a lease.
 */
export function isAlive(record: InProgressRecord, facts: ClaimFacts): boolean {
  return record.owner.kind === 'object' ? facts.isRunning : facts.now < record.owner.leaseUntil
}

/** Whether a claim lost its owner between two calls, the last of which was not executed. */
export function endedUnexecuted(record: InProgressRecord): boolean {
  return record.attempts.at(-1)?.outcome === 'not_executed'
}

/** Turns a claim into one whose outcome nobody knows. */
export function toUnknown(
  record: InProgressRecord,
  reason: UnknownReason,
  now: number,
): UnknownRecord {
  return {
    ...toBase(record),
    state: 'unknown',
    reason,
    settledAt: now,
    expiresAt: record.recovery.kind === 'resend' ? now + record.retentionMs : null,
    recoveryCount: 0,
    recoveryAt: now + recoveryDelayMs(0),
  }
}

function recover(record: UnknownRecord, request: ClaimRequest, now: number): ClaimDecision {
  const { kind } = request.recovery
  return kind === 'resend' ? execute(request, record, now) : { kind, record }
}

function execute(
  request: ClaimRequest,
  previous: OperationRecord | null,
  now: number,
): ClaimDecision {
  const { operation, tenant, fingerprint, claimId, correlationId } = request
  const { retentionMs, tombstoneMs, recovery } = request
  const fence = previous === null ? FIRST_FENCE : previous.fence + 1
  const record: InProgressRecord = {
    state: 'in_progress',
    operation,
    tenant,
    fingerprint,
    fence,
    claimId,
    correlationId,
    createdAt: previous?.createdAt ?? now,
    claimedAt: now,
    retentionMs,
    tombstoneMs,
    recovery,
    owner: toOwner(request, now),
    attempts: withAttempt(previous?.attempts ?? [], fence, now),
  }
  return { kind: 'execute', record }
}

/** How an operation is claimed by its own record, without a request's claim. */
export interface NextClaim {
  readonly claimId: string
  readonly owner: Owner
  /** Whether it is known by now that no call before this one was executed. */
  readonly isResolved: boolean
}

/** The next claim of an operation: for a call that is made again, by its owner or by the alarm. */
export function claimAgain(
  record: InProgressRecord | UnknownRecord,
  { claimId, owner, isResolved }: NextClaim,
  now: number,
): InProgressRecord {
  const fence = record.fence + 1
  const before = isResolved ? record.attempts.map(toUnexecuted) : record.attempts
  const attempts = withAttempt(before, fence, now)
  return {
    ...toBase(record),
    state: 'in_progress',
    owner,
    fence,
    claimId,
    attempts,
    claimedAt: now,
  }
}

const toUnexecuted = (attempt: Attempt): Attempt => ({ ...attempt, outcome: 'not_executed' })

function withAttempt(attempts: readonly Attempt[], fence: number, startedAt: number): Attempt[] {
  const open = { endedAt: null, originStatus: null, fault: null, outcome: null }
  return [...attempts.slice(1 - MAX_ATTEMPTS_KEPT), { fence, startedAt, ...open }]
}

/** Who will drive a claim: the object, or a Worker for as long as its lease stands. */
export function toOwner({ leaseMs }: Pick<ClaimRequest, 'leaseMs'>, now: number): Owner {
  return leaseMs === null ? { kind: 'object' } : { kind: 'worker', leaseUntil: now + leaseMs }
}

/**
 * Whether retention is over and only a late retry is still refused. Never while in progress or
 * held, and not while the origin is called about it.
 */
export function isExpired(record: OperationRecord, { now, isRunning }: ClaimFacts): boolean {
  const endsAt = retentionEndsAt(record)
  return endsAt !== null && now >= endsAt && !(record.state === 'unknown' && isRunning)
}

/** Whether nothing of the operation counts any more: its key is new again. */
export function isForgotten(record: OperationRecord, facts: ClaimFacts): boolean {
  const endsAt = retentionEndsAt(record)
  return isExpired(record, facts) && endsAt !== null && facts.now >= endsAt + record.tombstoneMs
}

function retentionEndsAt(record: OperationRecord): number | null {
  return record.state === 'in_progress' ? null : record.expiresAt
}

/** What is left of a record whose retention is over. */
export function toTombstone(record: SettledRecord | UnknownRecord): ExpiredRecord {
  const { settledAt, expiresAt } = record
  return { ...toBase(record), state: 'expired', settledAt, expiresAt: expiresAt ?? settledAt }
}
