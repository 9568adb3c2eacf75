import type { HapaxEnv } from '../config/env.ts'
import { traceIdOf } from '../core/correlation.ts'
import type { CloudEvent } from '../core/event.ts'
import { NO_FACTS, type DeliveryStatus } from '../core/request-facts.ts'
import { recordRequest } from './record-request.ts'

/** What is counted of an event; without its time, where it could not be opened. */
type CountedEvent = Pick<CloudEvent, 'type' | 'tenant' | 'correlationid'> &
  Partial<Pick<CloudEvent, 'time' | 'traceparent'>>

/** One delivery of an event. */
export interface Delivery {
  readonly event: CountedEvent
  readonly operationId: string | null
  readonly status: DeliveryStatus
  /** Deliveries of it that had failed before. */
  readonly failures: number
  /** Epoch milliseconds. */
  readonly startedAt: number
}

/** Counts and logs a delivery: method `EVENT`, the event's type as the operation. */
export function recordDelivery(
  env: HapaxEnv,
  { event, operationId, status, failures, startedAt }: Delivery,
): void {
  recordRequest(env, {
    ...NO_FACTS,
    operation: event.type,
    method: 'EVENT',
    status,
    tenant: event.tenant,
    correlationId: event.correlationid,
    traceId: traceIdOf(event.traceparent ?? ''),
    operationId,
    fence: failures + 1,
    totalMs: Date.now() - startedAt,
    ageMs: event.time === undefined ? 0 : startedAt - Date.parse(event.time),
  })
}
