import type { HapaxEnv } from '../config/env.ts'
import type { Outcome } from '../core/outcome.ts'
import type { UnknownRecord } from '../core/record.ts'
import { recordRequest } from '../metrics/record-request.ts'

/** One recovery by alarm. */
export interface RecoveryEnd {
  readonly id: string
  readonly record: UnknownRecord
  /** `unknown`: it has resolved nothing, and will be tried again. */
  readonly outcome: Outcome
  /** Epoch milliseconds. */
  readonly startedAt: number
}

/** Counts and logs a recovery as if a request had made it: method `ALARM`, no HTTP status. */
export function recordRecovery(
  env: HapaxEnv,
  { id, record, outcome, startedAt }: RecoveryEnd,
): void {
  const tookMs = Date.now() - startedAt
  recordRequest(env, {
    operation: record.operation,
    method: 'ALARM',
    status: outcome === 'unknown' ? 'unknown' : 'recovered',
    httpStatus: 0,
    problem: null,
    outcome,
    tenant: record.tenant,
    correlationId: record.correlationId,
    operationId: id,
    fence: record.fence,
    totalMs: tookMs,
    claimMs: 0,
    originMs: tookMs,
    waitedMs: 0,
    ageMs: startedAt - record.claimedAt,
    requestBytes: 0,
    originCalls: 1,
    settle: null,
    wouldBe: null,
    keySource: null,
  })
}
