import type { ClaimRequest } from '../../src/core/operation/claim.ts'
import type {
  Attempt,
  ClaimRef,
  ExpiredRecord,
  InProgressRecord,
  RecordBase,
  SettledRecord,
  UnknownRecord,
} from '../../src/core/operation/record.ts'
import type { Recovery, RecoveryRules } from '../../src/core/operation/recovery.ts'
import type { ClaimFacts } from '../../src/core/operation/retention.ts'
import type { SnapshotHead } from '../../src/core/operation/snapshot.ts'
import type { LandingRules } from '../../src/core/outcome/reply.ts'
import type { RequestFacts } from '../../src/core/request-facts.ts'
import type { RetryPolicy } from '../../src/core/retry/retry.ts'
import type { SnapshotHeaderRules } from '../../src/core/wire/headers.ts'

export const HOLD: Recovery = { kind: 'hold' }

/** What a policy says that keeps everything of an answer but its cookies, and seals nothing. */
export const KEEP: SnapshotHeaderRules = { setCookie: false, omit: [], seal: false }

const RECOVERY_RULES: RecoveryRules = {
  bounds: { timeoutMs: 30_000, limitBytes: 1_024 },
  rules: rulesOf(),
  isDurable: false,
}

/** The default table of outcomes, for a request that came from no other site. */
export function rulesOf(over: Partial<LandingRules> = {}): LandingRules {
  return { outcomes: {}, snapshot: KEEP, corsOrigin: null, ...over }
}

/** Holds, and keeps the request so that it can be sent again where it was not executed. */
export function durableHoldOf(over: Partial<RecoveryRules> = {}): Recovery {
  return { kind: 'hold', ...RECOVERY_RULES, isDurable: true, ...over }
}

/** Asks the status resource at `/status`. */
export function probeOf(
  over: Partial<RecoveryRules> & { readonly graceMs?: number; readonly path?: string } = {},
): Recovery {
  return { kind: 'probe', path: '/status', ...RECOVERY_RULES, ...over }
}

/** Sends again. */
export function resendOf(over: Partial<RecoveryRules> = {}): Recovery {
  return { kind: 'resend', ...RECOVERY_RULES, ...over }
}

/** A function asks itself before it runs again. */
export function selfProbeOf(over: Partial<RecoveryRules> = {}): Recovery {
  return { kind: 'self-probe', ...RECOVERY_RULES, ...over }
}

/** The call of the records below, of which nobody knows yet how it ended. */
export function attemptOf(over: Partial<Attempt> = {}): Attempt {
  const open = { endedAt: null, originStatus: null, fault: null, outcome: null }
  return { fence: 1, startedAt: 0, ...open, ...over }
}

/** Calls that ended so, one after the other, with fences from 1. */
export function attemptsOf(...outcomes: readonly Attempt['outcome'][]): Attempt[] {
  return outcomes.map((outcome, index) => attemptOf({ fence: index + 1, outcome }))
}

/** Four calls within 30 s, with delays below 200 ms to 5 s; neither budget nor breaker. */
export function retryPolicyOf(over: Partial<RetryPolicy> = {}): RetryPolicy {
  return {
    attempts: 4,
    baseMs: 200,
    capMs: 5_000,
    deadlineMs: 30_000,
    on: ['not_executed'],
    budget: false,
    breaker: false,
    ...over,
  }
}

const BASE: RecordBase = {
  operation: 'POST /payments',
  tenant: 'tenant-1',
  fingerprint: 'v1:a',
  places: 'places',
  fence: 1,
  claimId: 'claim-1',
  correlationId: 'correlation-1',
  traceparent: '',
  events: [],
  createdAt: 0,
  claimedAt: 0,
  retentionMs: 1_000,
  tombstoneMs: 0,
  recovery: HOLD,
  reauthorizePath: null,
  isAccepted: false,
  attempts: [attemptOf()],
}

/** A request for the operation that the records below are of, driven by the object. */
export function requestOf(over: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    operationId: 'operation-1',
    operation: 'POST /payments',
    tenant: 'tenant-1',
    fingerprint: 'v1:a',
    places: 'places',
    claimId: 'claim-2',
    correlationId: 'correlation-2',
    traceparent: '',
    events: [],
    recovery: HOLD,
    reauthorizePath: null,
    isAccepted: false,
    leaseMs: null,
    retentionMs: 1_000,
    tombstoneMs: 0,
    ...over,
  }
}

/** Facts of an object that has just woken up: no call in its memory. */
export function factsOf(over: Partial<ClaimFacts> = {}): ClaimFacts {
  return { now: 500, isRunning: false, isBeingRead: false, ...over }
}

/** Names the claim of the records below. */
export function claimRefOf(over: Partial<ClaimRef> = {}): ClaimRef {
  return { operationId: 'operation-1', fence: 1, claimId: 'claim-1', ...over }
}

/** Claimed at 0, driven by the object. */
export function runningOf(over: Partial<InProgressRecord> = {}): InProgressRecord {
  return { ...BASE, state: 'in_progress', owner: { kind: 'object' }, ...over }
}

/** Settled at 0 with `201`, remembered until 1,000. */
export function settledOf(over: Partial<SettledRecord> = {}): SettledRecord {
  const snapshot = snapshotOf()
  return { ...BASE, state: 'succeeded', settledAt: 0, expiresAt: 1_000, snapshot, ...over }
}

/** Unknown since 0 and held, so remembered until it is resolved. */
export function unknownOf(over: Partial<UnknownRecord> = {}): UnknownRecord {
  return {
    ...BASE,
    state: 'unknown',
    reason: 'origin-timeout',
    settledAt: 0,
    expiresAt: null,
    recoveryCount: 0,
    recoveryAt: 5_000,
    ...over,
  }
}

/** A tombstone from 1,000 to 3,000. */
export function tombstoneOf(over: Partial<ExpiredRecord> = {}): ExpiredRecord {
  return { ...BASE, state: 'expired', tombstoneMs: 2_000, settledAt: 0, expiresAt: 1_000, ...over }
}

/** `201` with a body of two bytes. */
export function snapshotOf(over: Partial<SnapshotHead> = {}): SnapshotHead {
  return { status: 201, headers: [], bodyBytes: 2, body: 'kept', corsOrigin: null, ...over }
}

/** A request that was executed, with another number in every column of numbers. */
export function requestFactsOf(over: Partial<RequestFacts> = {}): RequestFacts {
  return {
    operation: 'POST /payments',
    method: 'POST',
    status: 'executed',
    httpStatus: 201,
    wouldBe: null,
    keySource: 'header',
    problem: null,
    outcome: 'succeeded',
    tenant: 'tenant-1',
    correlationId: 'correlation-1',
    operationId: 'operation-1',
    fence: 1,
    totalMs: 70,
    claimMs: 20,
    originMs: 40,
    waitedMs: 10,
    ageMs: 5,
    requestBytes: 64,
    originCalls: 3,
    disposition: null,
    traceId: 'trace-1',
    settle: 'taken',
    origin: null,
    ...over,
  }
}
