import type { HapaxEnv } from '../config/env.ts'
import type { UnknownRecord } from '../core/operation/record.ts'
import type { Outcome } from '../core/outcome/outcome.ts'
import { NO_FACTS } from '../core/request-facts.ts'
import { traceIdOf } from '../core/request/correlation.ts'
import { recordRequest } from './record-request.ts'

/** One step of a recovery: a probe of the origin, or another call. */
export interface RecoveryEnd {
  readonly id: string
  readonly record: UnknownRecord
  /** `unknown`: it is still unknown, and recovery goes on; `null`: the step has no result yet. */
  readonly outcome: Outcome | null
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly originCalls: number
}

/** Counts and logs a recovery like a request, with the method `ALARM` and no HTTP status. */
export function recordRecovery(
  env: HapaxEnv,
  { id, record, outcome, startedAt, originCalls }: RecoveryEnd,
): void {
  const tookMs = Date.now() - startedAt
  recordRequest(env, {
    ...NO_FACTS,
    operation: record.operation,
    method: 'ALARM',
    status: outcome === 'unknown' || outcome === null ? 'unknown' : 'recovered',
    outcome,
    tenant: record.tenant,
    correlationId: record.correlationId,
    traceId: traceIdOf(record.traceparent),
    operationId: id,
    origin: record.origin ?? null,
    fence: record.fence,
    totalMs: tookMs,
    originMs: tookMs,
    ageMs: Date.now() - record.settledAt,
    originCalls,
  })
}
