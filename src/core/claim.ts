import {
  isDoubtful,
  isUnexecuted,
  leftAloneUntil,
  toDoubtful,
  toUnexecuted,
  withAttempt,
} from './attempts.ts'
import {
  type Attempt,
  type ClaimedFacts,
  type ClaimRef,
  doubtOf,
  type ExpiredRecord,
  type InProgressRecord,
  type OperationRecord,
  type Owner,
  type SettledRecord,
  toBase,
  toRef,
  type UnknownReason,
  type UnknownRecord,
} from './record.ts'
import { boundWaitMs, type Recovery, recoveryDelayMs } from './recovery.ts'
import { type ClaimFacts, isExpired, isForgotten, remember, toTombstone } from './retention.ts'

/** What every claim brings with it: facts that its record keeps, and how it is claimed. */
export interface ClaimRequest extends ClaimedFacts {
  readonly operationId: string
  /** Milliseconds that a Worker may run without renewal; `null` where the object runs the call. */
  readonly leaseMs: number | null
  /** Whether it is refused where nothing is known of the operation any more. Default: `false`. */
  readonly mustBeKnown?: boolean
}

/** The fate of a request. Where it has a `record`, that record is to be stored. */
export type ClaimDecision =
  | { readonly kind: 'execute'; readonly record: InProgressRecord }
  | { readonly kind: 'replay'; readonly settled: SettledRecord }
  | { readonly kind: 'in_flight'; readonly running: InProgressRecord | UnknownRecord }
  | { readonly kind: 'mismatch'; readonly known: OperationRecord }
  | { readonly kind: 'hold'; readonly record: UnknownRecord }
  /** `recovery`: how the status resource is asked. */
  | {
      readonly kind: 'probe'
      readonly record: UnknownRecord
      readonly recovery: Extract<Recovery, { kind: 'probe' }>
    }
  /** `null`: nothing is known of it any more, and the request must not begin it. */
  | {
      readonly kind: 'expired'
      readonly known: ExpiredRecord | null
      /** Whether the key named another request. */
      readonly isOther: boolean
    }

const FIRST_FENCE = 1

/** Whether a decision begins an operation that nobody has heard of before. */
export function isNew(decision: ClaimDecision): boolean {
  return decision.kind === 'execute' && decision.record.fence === FIRST_FENCE
}

/**
 * Decides the fate of a request from what is already known about its operation.
 *
 * The fingerprint is compared before the state, so a key reused for another payload is reported
 * as a mismatch even while the first request is still running.
 */
export function decideClaim(
  known: OperationRecord | null,
  request: ClaimRequest,
  facts: ClaimFacts,
): ClaimDecision {
  const record = known === null ? null : remember(tighten(known, request.recovery), request)
  if (record === null || isForgotten(record, facts)) {
    if (request.mustBeKnown === true) return { kind: 'expired', known: null, isOther: false }
    return execute(request, null, facts.now)
  }
  const isOther = record.fingerprint !== request.fingerprint
  if (record.state === 'expired') return { kind: 'expired', known: record, isOther }
  if (record.state !== 'in_progress' && isExpired(record, facts)) {
    return { kind: 'expired', known: toTombstone(record), isOther }
  }
  if (isOther) return { kind: 'mismatch', known: record }
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
      // It lost its owner between two calls.
      if (isUnexecuted(record)) return execute(request, record, facts.now)
      return recover(toUnknown(record, 'owner-lost', facts.now), request, facts.now)
    case 'unknown':
      // Somebody asks the origin's status resource right now.
      if (facts.isRunning) return { kind: 'in_flight', running: record }
      if (isUnexecuted(record)) return execute(request, record, facts.now)
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

/** Turns a claim into one whose outcome nobody knows. */
export function toUnknown(
  record: InProgressRecord,
  reason: UnknownReason,
  now: number,
): UnknownRecord {
  const attempts = record.attempts.map((attempt) => toDoubtful(attempt, now))
  const settledAt = attempts.find(isDoubtful)?.endedAt ?? now
  const recoveryCount = record.attempts.length - 1
  return {
    ...toBase(record),
    attempts,
    state: 'unknown',
    reason,
    settledAt,
    expiresAt: record.recovery.kind === 'resend' ? settledAt + record.retentionMs : null,
    recoveryCount,
    recoveryAt: Math.max(now + recoveryDelayMs(recoveryCount), leftAloneUntil(record)),
  }
}

/** Leaves an unknown outcome alone for as long as the origin asks for that. */
export function postpone(record: UnknownRecord, askedMs: number, now: number): UnknownRecord {
  const recoveryAt = Math.max(record.recoveryAt, now + boundWaitMs(askedMs, record))
  return { ...record, recoveryAt }
}

/** A claim that was granted, with what its record says of the calls before it. */
export interface Granted extends ClaimRef {
  /** Whether one of them may have been executed. */
  readonly isInDoubt: boolean
}

/** Names the claim that a record was granted last. */
export function toGranted(operationId: string, record: OperationRecord): Granted {
  const { attempts, fence } = record
  const isInDoubt = attempts.some((one) => one.fence !== fence && isDoubtful(one))
  return { ...toRef(operationId, record), isInDoubt }
}

/** Does what the safer of two policies says: the record's own, or that of the request's route. */
function recover(record: UnknownRecord, request: ClaimRequest, now: number): ClaimDecision {
  const { recovery: own } = record
  const { recovery: asked } = request
  // What is held may be asked about: nothing is executed on anybody's word but the origin's.
  if (asked.kind === 'probe') return { kind: 'probe', record, recovery: asked }
  if (asked.kind === 'hold' || own.kind === 'hold') return { kind: 'hold', record }
  return own.kind === 'probe'
    ? { kind: 'probe', record, recovery: own }
    : execute(request, record, now)
}

/**
 * Makes the recovery of an operation as safe as its route is by now, and never less safe than it
 * was: what is no longer sent again is remembered until its outcome is known.
 */
export function tighten<record extends OperationRecord>(record: record, asked: Recovery): record {
  const { recovery: own, state } = record
  const isOpen = state === 'in_progress' || state === 'unknown'
  const isLooser = own.kind === 'resend' || (own.kind === 'probe' && asked.kind === 'hold')
  if (!isOpen || !isLooser || asked.kind === 'resend') return record
  // Whether the request is stored was settled with its claim.
  const { bounds, rules, isDurable } = own
  const kept = { bounds, rules, isDurable }
  const recovery: Recovery =
    asked.kind === 'probe' ? { ...asked, ...kept } : { kind: 'hold', ...kept }
  return state === 'unknown' ? { ...record, recovery, expiresAt: null } : { ...record, recovery }
}

function execute(
  request: ClaimRequest,
  previous: OperationRecord | null,
  now: number,
): ClaimDecision {
  return { kind: 'execute', record: toClaimed(request, previous, now) }
}

function toClaimed(
  request: ClaimRequest,
  previous: OperationRecord | null,
  now: number,
): InProgressRecord {
  const { operationId: _id, leaseMs: _leaseMs, mustBeKnown: _mustBeKnown, ...facts } = request
  const fence = previous === null ? FIRST_FENCE : previous.fence + 1
  const before = previous?.attempts ?? []
  return {
    ...facts,
    state: 'in_progress',
    fence,
    createdAt: previous?.createdAt ?? now,
    claimedAt: now,
    // Once it was promised, no later request takes that back.
    isAccepted: facts.isAccepted || (previous?.isAccepted ?? false),
    owner: toOwner(request, now),
    ...keepDoubt(previous, before),
    attempts: withAttempt(before, fence, now),
  }
}

/** A call that is made again leaves the doubt about those before, unless it is known of each that it was not executed. */
function keepDoubt(
  previous: OperationRecord | null,
  before: readonly Attempt[],
): Pick<InProgressRecord, 'doubt'> {
  const doubt = before.some(isDoubtful) ? doubtOf(previous) : null
  return doubt === null ? {} : { doubt }
}

/** The next claim of an operation for a request, when the origin has said that no call before was executed. */
export function claimResolved(
  record: InProgressRecord | UnknownRecord,
  request: ClaimRequest,
  now: number,
): InProgressRecord {
  return toClaimed(request, { ...record, attempts: record.attempts.map(toUnexecuted) }, now)
}

/** How an operation is claimed by its own record, without a request. */
export interface NextClaim {
  readonly claimId: string
  readonly owner: Owner
  /** Whether it is known by now that no call before this one was executed. */
  readonly isResolved: boolean
}

/** The next claim of an operation: for a call that is made again, by its owner or by the alarm. */
export function claimAgain(
  record: InProgressRecord | UnknownRecord,
  next: NextClaim,
  now: number,
): InProgressRecord {
  const { claimId, owner, isResolved } = next
  const fence = record.fence + 1
  const before = isResolved ? record.attempts.map(toUnexecuted) : record.attempts
  const attempts = withAttempt(before, fence, now)
  return {
    ...toBase(record),
    state: 'in_progress',
    owner,
    ...keepDoubt(record, before),
    fence,
    claimId,
    attempts,
    claimedAt: now,
  }
}

/** Who will drive a claim: the object, or a Worker for as long as its lease stands. */
export function toOwner({ leaseMs }: Pick<ClaimRequest, 'leaseMs'>, now: number): Owner {
  return leaseMs === null ? { kind: 'object' } : { kind: 'worker', leaseUntil: now + leaseMs }
}

/** What a record says at this moment, whether or not the alarm has come: `null` when it is forgotten. */
export function asOf(record: OperationRecord, facts: ClaimFacts): OperationRecord | null {
  if (isForgotten(record, facts)) return null
  if (record.state === 'expired') return record
  if (record.state === 'in_progress') {
    const isOrphan = !isAlive(record, facts) && !isUnexecuted(record)
    return isOrphan ? toUnknown(record, 'owner-lost', facts.now) : record
  }
  return isExpired(record, facts) ? toTombstone(record) : record
}
