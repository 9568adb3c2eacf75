import { isFunctionOrigin } from '../function/function-origin.ts'
import {
  isDoubtful,
  isUnexecuted,
  leftAloneUntil,
  toDoubtful,
  toUnexecuted,
  withAttempt,
} from './attempts.ts'
import { movedOf } from './hand-over.ts'
import {
  type Attempt,
  type ClaimedFacts,
  type ClaimRef,
  doubtOf,
  type ExpiredRecord,
  type InProgressRecord,
  type Moved,
  type OperationRecord,
  type Owner,
  recordVersionOf,
  type SettledRecord,
  toBase,
  toRef,
  type UnknownReason,
  type UnknownRecord,
} from './record.ts'
import { boundWaitMs, type Recovery, recoveryDelayMs } from './recovery.ts'
import { type ClaimFacts, isExpired, isForgotten, remember, toTombstone } from './retention.ts'

/** A request to claim an operation: the facts for its record, and how it is claimed. */
export interface ClaimRequest extends ClaimedFacts {
  readonly operationId: string
  /** Milliseconds that a Worker may run without renewal; `null` if the object makes the call. */
  readonly leaseMs: number | null
  /** Whether it is refused if nothing is known of the operation. Default: `false`. */
  readonly mustBeKnown?: boolean
  /** When another object has handed the operation over to this one, in epoch milliseconds, if one has. */
  readonly movedAt?: number | null
}

/** The fate of a request. If it has a `record`, the caller stores it. */
export type ClaimDecision =
  | { readonly kind: 'execute'; readonly record: InProgressRecord }
  | { readonly kind: 'replay'; readonly settled: SettledRecord }
  | { readonly kind: 'in_flight'; readonly running: InProgressRecord | UnknownRecord }
  | { readonly kind: 'mismatch'; readonly known: OperationRecord }
  | { readonly kind: 'hold'; readonly record: UnknownRecord }
  | {
      readonly kind: 'probe'
      readonly record: UnknownRecord
      readonly recovery: Extract<Recovery, { kind: 'probe' }>
    }
  /** Another object guards the operation. */
  | Moved
  /** `known: null`: nothing is known of it, and the request must not begin it. */
  | {
      readonly kind: 'expired'
      readonly known: ExpiredRecord | null
      /** Whether the key was used for another request. */
      readonly isOther: boolean
    }

const FIRST_FENCE = 1

/** Whether a decision begins a new operation. */
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
  if (known === null) return begin(request, facts)
  const moved = movedOf(known)
  if (moved === null) {
    return decideKnown(asAsked(known, request), request, facts)
  }
  const isOver = isBack(moved, request) || isForgotten(known, facts)
  return isOver ? begin(request, facts) : moved
}

function decideKnown(
  record: OperationRecord,
  request: ClaimRequest,
  facts: ClaimFacts,
): ClaimDecision {
  if (isForgotten(record, facts)) return begin(request, facts)
  const isOther = record.fingerprint !== request.fingerprint
  if (record.state === 'expired') return { kind: 'expired', known: record, isOther }
  if (record.state !== 'in_progress' && isExpired(record, facts)) {
    return { kind: 'expired', known: toTombstone(record), isOther }
  }
  if (isOther) return { kind: 'mismatch', known: record }
  return decideByState(record, request, facts)
}

/** Whether the operation was handed back after it had been handed over. */
const isBack = (moved: Moved, { movedAt = null }: ClaimRequest) =>
  movedAt !== null && movedAt > moved.at

/** Claims an operation of which nothing is known. */
function begin(request: ClaimRequest, { now }: ClaimFacts): ClaimDecision {
  if (request.mustBeKnown === true) return { kind: 'expired', known: null, isOther: false }
  return execute(request, null, now)
}

/** Applies the present policy of a record's own route; another route says nothing about it. */
function asAsked(known: OperationRecord, request: ClaimRequest): OperationRecord {
  if (known.operation !== request.operation) return known
  // What the route does at another origin says nothing of this one, where it may have been executed.
  const own = isElsewhere(known, request) ? known : tighten(known, request.recovery)
  return remember(own, request)
}

/** Whether a request would go to another origin than the calls of the operation. */
function isElsewhere(known: OperationRecord, request: ClaimRequest): boolean {
  return placeOf(known) !== placeOf(request)
}

/** A function is the same one whether or not the object can run it: only a durable one has a name. */
function placeOf({ origin }: Pick<ClaimedFacts, 'origin'>): string | undefined {
  return origin !== undefined && isFunctionOrigin(origin) ? undefined : origin
}

function decideByState(
  record: Exclude<OperationRecord, ExpiredRecord>,
  request: ClaimRequest,
  facts: ClaimFacts,
): ClaimDecision {
  switch (record.state) {
    case 'in_progress':
      // The answer to a granted claim was lost, and its Worker asks again.
      if (isGrantOf(record, request)) return { kind: 'execute', record }
      if (isAlive(record, facts)) return { kind: 'in_flight', running: record }
      // The owner was lost between two calls.
      if (isUnexecuted(record)) return execute(request, record, facts.now)
      return recover(toUnknown(record, 'owner-lost', facts.now), request, facts.now)
    case 'unknown':
      // The status resource is being asked right now.
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
 * Whether the owner of a claim still exists. If the object does not hold the call in memory, it has
 * restarted and the call is lost, so there is no lease to wait for.
 */
export function isAlive(record: InProgressRecord, facts: ClaimFacts): boolean {
  return record.owner.kind === 'object' ? facts.isRunning : facts.now < record.owner.leaseUntil
}

/** Gives a claim up: its outcome is unknown. */
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

/** Postpones the next recovery by the time that the origin asks for. */
export function postpone(record: UnknownRecord, askedMs: number, now: number): UnknownRecord {
  const recoveryAt = Math.max(record.recoveryAt, now + boundWaitMs(askedMs, record))
  return { ...record, recoveryAt }
}

/** A claim that was granted. */
export interface Granted extends ClaimRef {
  /** Whether an earlier call of the operation may have been executed. */
  readonly isInDoubt: boolean
}

/** Names the last claim of a record. */
export function toGranted(operationId: string, record: OperationRecord): Granted {
  const { attempts, fence } = record
  const isInDoubt = attempts.some((one) => one.fence !== fence && isDoubtful(one))
  return { ...toRef(operationId, record), isInDoubt }
}

/** Follows the safer of two policies: the record's own, or that of the request's route. */
function recover(record: UnknownRecord, request: ClaimRequest, now: number): ClaimDecision {
  const { recovery: own } = record
  const { recovery: asked } = request
  if (isElsewhere(record, request)) {
    return own.kind === 'probe'
      ? { kind: 'probe', record, recovery: own }
      : { kind: 'hold', record }
  }
  // Also under `hold`: only the origin can say that the operation may be executed again.
  if (asked.kind === 'probe') return { kind: 'probe', record, recovery: asked }
  // It asks before it executes.
  if (asked.kind === 'self-probe') return execute(request, record, now)
  if (own.kind === 'probe' && asked.kind === 'resend')
    return { kind: 'probe', record, recovery: own }
  // Only a record that is resent itself may be executed without a question.
  return asked.kind === 'resend' && own.kind === 'resend'
    ? execute(request, record, now)
    : { kind: 'hold', record }
}

/**
 * Makes the recovery of an operation as safe as the present policy of its route, and never less safe
 * than it was. What is no longer sent again is remembered until its outcome is known.
 */
export function tighten<record extends OperationRecord>(record: record, asked: Recovery): record {
  const { recovery: own, state } = record
  const isOpen = state === 'in_progress' || state === 'unknown'
  const isLooser = own.kind === 'resend' || asked.kind === 'hold'
  if (!isOpen || !isLooser || own.kind === 'hold' || asked.kind === 'resend') return record
  // Whether the request is stored was settled with its claim.
  const { bounds, rules, isDurable } = own
  const kept = { bounds, rules, isDurable }
  const recovery: Recovery =
    asked.kind === 'hold' ? { kind: 'hold', ...kept } : { ...asked, ...kept }
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
  const { operationId: _id, leaseMs: _leaseMs, ...claimed } = request
  const { mustBeKnown: _mustBeKnown, movedAt: _movedAt, ...facts } = claimed
  const fence = previous === null ? FIRST_FENCE : previous.fence + 1
  const before = previous?.attempts ?? []
  return {
    ...facts,
    version: recordVersionOf(facts),
    places: placesOf(request, previous),
    state: 'in_progress',
    fence,
    createdAt: previous?.createdAt ?? now,
    claimedAt: now,
    // No later request revokes the promise.
    isAccepted: facts.isAccepted || (previous?.isAccepted ?? false),
    owner: toOwner(request, now),
    ...keepDoubt(previous, before),
    attempts: withAttempt(before, fence, now),
  }
}

/** All requests of an operation have the same places, so a later claim brings none. */
function placesOf({ places }: ClaimRequest, previous: OperationRecord | null): string {
  return places === '' && previous !== null ? previous.places : places
}

/** A new call keeps the doubt about those before, unless none of them was executed. */
function keepDoubt(
  previous: OperationRecord | null,
  before: readonly Attempt[],
): Pick<InProgressRecord, 'doubt'> {
  const doubt = before.some(isDoubtful) ? doubtOf(previous) : null
  return doubt === null ? {} : { doubt }
}

/** The next claim of an operation for a request, after the origin said that no call was executed. */
export function claimResolved(
  record: InProgressRecord | UnknownRecord,
  request: ClaimRequest,
  now: number,
): InProgressRecord {
  return toClaimed(request, { ...record, attempts: record.attempts.map(toUnexecuted) }, now)
}

/** A claim without a request, from the record alone. */
export interface NextClaim {
  readonly claimId: string
  readonly owner: Owner
  /** Whether it is known that no call before this one was executed. */
  readonly isResolved: boolean
}

/** The next claim of an operation, by its owner or by the alarm. */
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

/** The owner of a claim: the object, or a Worker with a lease. */
export function toOwner({ leaseMs }: Pick<ClaimRequest, 'leaseMs'>, now: number): Owner {
  return leaseMs === null ? { kind: 'object' } : { kind: 'worker', leaseUntil: now + leaseMs }
}

/** The record at this moment, whether or not the alarm ran; `null` if it is forgotten. */
export function asOf(record: OperationRecord, facts: ClaimFacts): OperationRecord | null {
  if (isForgotten(record, facts)) return null
  if (record.state === 'expired') return record
  if (record.state === 'in_progress') {
    const isOrphan = !isAlive(record, facts) && !isUnexecuted(record)
    return isOrphan ? toUnknown(record, 'owner-lost', facts.now) : record
  }
  return isExpired(record, facts) ? toTombstone(record) : record
}
