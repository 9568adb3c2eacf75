import { isRecoverable } from '../core/due.ts'
import { doubtOf, type OperationRecord } from '../core/record.ts'
import { rulesFor, toStateEvent } from '../core/state-event.ts'
import { inClear } from '../platform/at-rest.ts'
import type { EventTable } from './event-table.ts'

/**
 * How long the operator's list waits for an operation whose outcome is unknown and that something
 * may still be done about.
 */
const STUCK_AFTER_MS = 60_000

/** What a transaction does to a record. */
export interface Change {
  readonly id: string
  readonly before: OperationRecord | null
  /** `null`: it is deleted. */
  readonly after: OperationRecord | null
  readonly now: number
}

/** Stores what a record leaves when it comes to another state, in the transaction in which it does. */
export function leaveEvents(events: EventTable, change: Change): void {
  const { before, after } = change
  if (after?.state !== before?.state || after?.fence !== before?.fence) addEvents(events, change)
  // Also of a claim that stays in progress: the origin may say that no call was executed.
  noteDoubt(events, change)
}

function addEvents(events: EventTable, { id: operationId, after, now }: Change): void {
  if (after === null || after.state === 'in_progress' || after.state === 'expired') return
  const text = JSON.stringify(toStateEvent(operationId, after, now))
  const bytes = inClear(new Uint8Array(new TextEncoder().encode(text)))
  for (const { to, retry } of rulesFor(after)) {
    events.add({ operationId, recipient: to, retry, bytes, dueAt: now })
  }
}

/**
 * The operator's list is to hold an operation from when it comes into doubt until an end of it is
 * known: a call that is made again in between changes nothing there. What could not have been
 * listed yet is not struck off either.
 */
function noteDoubt(events: EventTable, { id, before, after, now }: Change): void {
  const wasListed = isListed(before)
  if (wasListed === isListed(after)) return
  if (!wasListed) {
    const isPatient = after?.state === 'unknown' && isRecoverable(after, now)
    events.replaceNotice(id, now + (isPatient ? STUCK_AFTER_MS : 0))
  } else if (!events.dropEarlyNotice(id, now)) {
    events.replaceNotice(id, now)
  }
}

/** Whether an operation is for the operator's list. What is only observed is on none. */
function isListed(record: OperationRecord | null): boolean {
  return doubtOf(record) !== null && record?.events !== null
}
