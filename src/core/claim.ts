import {
  type ExpiredRecord,
  type InProgressRecord,
  type Memory,
  type OperationRecord,
  type Owner,
  type SettledRecord,
  toBase,
  type UnknownPolicy,
  type UnknownReason,
  type UnknownRecord,
} from './record.ts'

/** What every claim brings with it. */
export interface ClaimRequest extends Memory {
  readonly operationId: string
  readonly operation: string
  readonly fingerprint: string
  /** Random; names this claim should it be granted. */
  readonly claimId: string
  readonly correlationId: string
  readonly unknown: UnknownPolicy
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
  | { readonly kind: 'in_flight'; readonly running: InProgressRecord }
  | { readonly kind: 'mismatch'; readonly known: OperationRecord }
  | { readonly kind: 'held'; readonly record: UnknownRecord }
  | { readonly kind: 'expired'; readonly known: OperationRecord }

const FIRST_FENCE = 1

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
  if (record === null || isForgotten(record, facts.now)) return execute(request, null, facts.now)
  if (record.state === 'expired' || isExpired(record, facts.now)) {
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
      if (isAlive(record, facts)) return { kind: 'in_flight', running: record }
      return recover(toUnknown(record, 'owner-lost', facts.now), request, facts.now)
    case 'unknown':
      return recover(record, request, facts.now)
    case 'succeeded':
    case 'failed':
      return { kind: 'replay', settled: record }
  }
}

/**
 * Whether somebody still drives the claim. An object that does not hold the call in memory has
 * restarted since, so the call is lost: that is known at once, without waiting for a lease.
 */
export function isAlive(record: InProgressRecord, facts: ClaimFacts): boolean {
  return record.owner.kind === 'object' ? facts.isRunning : facts.now < record.owner.leaseUntil
}

/** Turns a claim into one whose outcome nobody knows. Remembered from now on. */
export function toUnknown(
  record: InProgressRecord,
  reason: UnknownReason,
  now: number,
  originStatus: number | null = null,
): UnknownRecord {
  const expiresAt = now + record.retentionMs
  return { ...toBase(record), state: 'unknown', reason, originStatus, settledAt: now, expiresAt }
}

function recover(record: UnknownRecord, request: ClaimRequest, now: number): ClaimDecision {
  switch (request.unknown) {
    case 'hold':
      return { kind: 'held', record }
    case 'resend':
      return execute(request, record, now)
  }
}

function execute(
  request: ClaimRequest,
  previous: OperationRecord | null,
  now: number,
): ClaimDecision {
  const { operation, fingerprint, claimId, correlationId, retentionMs, tombstoneMs } = request
  const record: InProgressRecord = {
    state: 'in_progress',
    operation,
    fingerprint,
    claimId,
    correlationId,
    retentionMs,
    tombstoneMs,
    fence: previous === null ? FIRST_FENCE : previous.fence + 1,
    createdAt: previous?.createdAt ?? now,
    claimedAt: now,
    owner: toOwner(request, now),
  }
  return { kind: 'execute', record }
}

function toOwner(request: ClaimRequest, now: number): Owner {
  if (request.leaseMs === null) return { kind: 'object' }
  return { kind: 'worker', leaseUntil: now + request.leaseMs }
}

/** Whether retention is over and only a late retry is still refused. Never while in progress. */
export function isExpired(record: OperationRecord, now: number): boolean {
  return record.state !== 'in_progress' && now >= record.expiresAt
}

/** Whether nothing of the operation counts any more: its key is new again. */
export function isForgotten(record: OperationRecord, now: number): boolean {
  return record.state !== 'in_progress' && now >= record.expiresAt + record.tombstoneMs
}

/** What is left of a record whose retention is over. */
export function toTombstone(record: SettledRecord | UnknownRecord): ExpiredRecord {
  const { settledAt, expiresAt } = record
  return { ...toBase(record), state: 'expired', settledAt, expiresAt }
}
