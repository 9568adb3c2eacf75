import type { OperationRecord } from '../operation/record.ts'
import { toTime } from '../time.ts'
import { type CloudEvent, type EventRule, type EventState, toEmitted, toEventId } from './event.ts'

/** The event about a new state of an operation. It holds no response: that can be read by the id. */
export function toStateEvent(
  operationId: string,
  record: Extract<OperationRecord, { state: EventState }>,
  now: number,
): CloudEvent {
  const { state, operation, fence, claimId, createdAt, settledAt } = record
  const data = {
    operation,
    operationId,
    state,
    attempts: fence,
    createdAt: toTime(createdAt),
    settledAt: toTime(settledAt),
    ...(record.state === 'unknown' && { reason: record.reason }),
  }
  const event = { type: `operation.${state}`, subject: operationId, data }
  return toEmitted(event, toEventId({ operationId, claimId }, state), record, now)
}

/** The rules for events about the present state of a record. */
export function rulesFor(record: OperationRecord): readonly EventRule[] {
  return (record.events ?? []).filter(({ on }) => on.some((state) => state === record.state))
}
