import { queue } from './destination.ts'
import { type CloudEvent, type EventRule, type EventState, toEmitted, toEventId } from './event.ts'
import type { OperationRecord } from './record.ts'
import { toTime } from './time.ts'

/**
 * The event that tells what an operation has come to. It holds no response: who needs that asks for
 * the operation.
 */
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
  const event = { type: `operation.${state}`, subject: operationId, data, to: queue('') }
  return toEmitted(event, toEventId({ operationId, claimId }, state), record, now)
}

/** Rules by which a record leaves an event of the state that it has come to. */
export function rulesFor(record: OperationRecord): readonly EventRule[] {
  return (record.events ?? []).filter(({ on }) => on.some((state) => state === record.state))
}
