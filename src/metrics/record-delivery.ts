import type { HapaxEnv } from '../config/env.ts'
import type { CloudEvent } from '../core/event/event.ts'
import { NO_FACTS, type DeliveryStatus } from '../core/request-facts.ts'
import { traceIdOf } from '../core/request/correlation.ts'
import { recordRequest } from './record-request.ts'

/** The counted facts of an event; without its time if it could not be decrypted. */
type CountedEvent = Pick<CloudEvent, 'type' | 'tenant' | 'correlationid'> &
  Partial<Pick<CloudEvent, 'time' | 'traceparent'>>

/** One delivery of an event. */
export interface Delivery {
  readonly event: CountedEvent
  readonly operationId: string | null
  readonly status: DeliveryStatus
  /** Number of failed deliveries before this one. */
  readonly failures: number
  /** Epoch milliseconds. */
  readonly startedAt: number
}

/** Counts and logs a delivery, with the method `EVENT` and the type of the event as operation. */
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
