import type { Destination } from '../core/event/destination.ts'
import type { Death } from '../core/event/event-delivery.ts'
import { DELIVERY_RETRY, type DeliveryRetry } from '../core/event/event.ts'
import { rulesFor, toStateEvent } from '../core/event/state-event.ts'
import { isRecoverable } from '../core/operation/due.ts'
import { doubtOf, type OperationRecord } from '../core/operation/record.ts'
import { inClear } from '../platform/at-rest.ts'
import { LANE, type Tables } from './tables.ts'

/** Where an event goes: to a receiver outside, or to the operator's list. */
type Recipient = Destination | { readonly to: 'directory' }

/** The first event of those with one operation and one recipient: only it may be delivered. */
export interface EventHead {
  /** Names the operation and the recipient. */
  readonly lane: string
  readonly recipient: Recipient
  /** Orders the events of an object; together with the operation it names one. */
  readonly sequence: number
  /** Epoch milliseconds before which it is not tried. */
  readonly dueAt: number
  /** Why it is not delivered any more: it waits to become a dead letter. */
  readonly death?: Death
}

/** An event that waits for its delivery. */
export interface PendingEvent extends EventHead {
  readonly operationId: string
  readonly retry: DeliveryRetry
  /** As `toStoredBytes` writes it. */
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Tries that have failed: deliveries, and those to put it where a dead letter is kept. */
  readonly failures: number
}

export type NewEvent = Omit<PendingEvent, 'lane' | 'sequence' | 'failures' | 'death'> & {
  /** Of a notice: whether the operator's list may hold its operation already. */
  readonly mayBeListed?: boolean
}

/** What a transaction does to a record. */
interface Change {
  readonly id: string
  readonly before: OperationRecord | null
  /** `null`: it is deleted. */
  readonly after: OperationRecord | null
  readonly now: number
}

interface HeadRow extends Record<string, SqlStorageValue> {
  lane: string
  sequence: number
  head: string
  due_at: number
}

interface EventRow extends HeadRow {
  operation_id: string
  bytes: ArrayBuffer
  failures: number
}

/**
 * How long an operation whose outcome is unknown can still recover before it is put on the
 * operator's list.
 */
const STUCK_AFTER_MS = 60_000

/** The first event of each lane, found by the index: an object may hold thousands of events. */
const HEADS = `
  WITH RECURSIVE lanes (lane) AS (
    SELECT min(${LANE}) FROM event
    UNION ALL
    SELECT (SELECT min(${LANE}) FROM event WHERE ${LANE} > lane) FROM lanes WHERE lane IS NOT NULL
  )
  SELECT lane, sequence, head, due_at
  FROM lanes JOIN event ON sequence =
    (SELECT sequence FROM event WHERE ${LANE} = lane ORDER BY sequence LIMIT 1)`

/** The notices of an operation for the operator's list. */
const NOTICES = `FROM event WHERE ${LANE} = ? || '{"to":"directory"}'`

/** Sequences start again after everything was erased, so an event is also identified by its content. */
const IS_THIS_EVENT = 'WHERE sequence = ? AND operation_id = ? AND bytes = ?'

const namesOf = ({ sequence, operationId, bytes }: PendingEvent) =>
  [sequence, operationId, bytes] as const

/** The events of an object that wait for their delivery, and its notices for the operator's list. */
export class EventTable {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  add({ operationId, bytes, dueAt, ...head }: NewEvent): void {
    this.#tables.requireEvents()
    this.#tables.sql.exec(
      `INSERT INTO event (operation_id, sequence, head, bytes, failures, due_at)
        VALUES (?, (SELECT coalesce(max(sequence), 0) + 1 FROM event), ?, ?, 0, ?)`,
      operationId,
      JSON.stringify(head),
      bytes,
      dueAt,
    )
  }

  /** Stores the events that a change of a record causes, in the transaction of that change. */
  leave(change: Change): void {
    const { before, after } = change
    if (after?.state !== before?.state || after?.fence !== before?.fence) this.#addEvents(change)
    // Also of a claim that stays in progress: the origin may say that no call was executed.
    this.#noteDoubt(change)
  }

  #addEvents({ id: operationId, after, now }: Change): void {
    if (after === null || after.state === 'in_progress' || after.state === 'expired') return
    const text = JSON.stringify(toStateEvent(operationId, after, now))
    const bytes = inClear(new Uint8Array(new TextEncoder().encode(text)))
    for (const { to, retry } of rulesFor(after)) {
      this.add({ operationId, recipient: to, retry, bytes, dueAt: now })
    }
  }

  /**
   * An operation is on the operator's list from the moment it is in doubt until its end is known.
   * Another call in between does not change that. If it cannot have been listed yet, it is not
   * taken off either.
   */
  #noteDoubt({ id, before, after, now }: Change): void {
    const wasListed = isListed(before)
    if (wasListed === isListed(after)) return
    if (!wasListed) {
      const isPatient = after?.state === 'unknown' && isRecoverable(after, now)
      this.#replaceNotice(id, now + (isPatient ? STUCK_AFTER_MS : 0))
    } else if (!this.#dropEarlyNotice(id, now)) {
      this.#replaceNotice(id, now)
    }
  }

  /**
   * Notes that the operator's list must be updated about an operation. There is at most one such
   * notice, and a newer one does not wait for an older one. It is a row with another name, so that
   * the end of a running delivery deletes only its own notice.
   */
  #replaceNotice(operationId: string, dueAt: number): void {
    this.#tables.requireEvents()
    const [known] = this.#tables.sql
      .exec<{ last: number | null }>(`SELECT max(sequence) AS last ${NOTICES}`, operationId)
      .toArray()
    const last = known?.last ?? null
    const bytes = new Uint8Array(new TextEncoder().encode(crypto.randomUUID()))
    const recipient = { to: 'directory' } as const
    // Before the older one goes, or it would get its number.
    const notice = { operationId, recipient, retry: DELIVERY_RETRY, bytes, dueAt }
    this.add({ ...notice, mayBeListed: last !== null })
    this.#tables.sql.exec(`DELETE ${NOTICES} AND sequence <= ?`, operationId, last)
  }

  /**
   * Takes back the first notice of an operation if nobody has tried to deliver it yet.
   *
   * @returns `false` when the list may already contain the operation.
   */
  #dropEarlyNotice(operationId: string, now: number): boolean {
    if (!this.#tables.has('event')) return false
    const sql = `DELETE ${NOTICES} AND failures = 0 AND due_at > ?
      AND json_extract(head, '$.mayBeListed') = 0`
    return this.#tables.sql.exec(sql, operationId, now).rowsWritten > 0
  }

  /** The first event of each lane. */
  listHeads(): EventHead[] {
    if (!this.#tables.has('event')) return []
    return Array.from(this.#tables.sql.exec<HeadRow>(HEADS), toHead)
  }

  read(sequence: number): PendingEvent {
    const sql = `SELECT *, ${LANE} AS lane FROM event WHERE sequence = ?`
    const row = this.#tables.sql.exec<EventRow>(sql, sequence).one()
    const { operation_id: operationId, failures } = row
    return { ...toHead(row), operationId, bytes: new Uint8Array(row.bytes), failures }
  }

  /** @returns `false` when it is gone: its operation was erased during the delivery. */
  postpone(event: PendingEvent): boolean {
    const { recipient, retry, death, failures, dueAt } = event
    const head = JSON.stringify({ recipient, retry, death })
    const change = `UPDATE event SET head = ?, failures = ?, due_at = ? ${IS_THIS_EVENT}`
    const values = [head, failures, dueAt, ...namesOf(event)]
    return this.#tables.has('event') && this.#tables.sql.exec(change, ...values).rowsWritten > 0
  }

  /** @returns As for `postpone`. */
  delete(event: PendingEvent): boolean {
    const change = `DELETE FROM event ${IS_THIS_EVENT}`
    return (
      this.#tables.has('event') && this.#tables.sql.exec(change, ...namesOf(event)).rowsWritten > 0
    )
  }

  /** Deletes the events that leave the deployment. A notice stays: it updates the operator's list. */
  deleteAllOf(operationId: string): void {
    if (!this.#tables.has('event')) return
    const sql = `DELETE FROM event WHERE operation_id = ?
      AND json_extract(head, '$.recipient.to') <> 'directory'`
    this.#tables.sql.exec(sql, operationId)
  }

  /** Events of an operation that wait and go out of the deployment. */
  count(operationId: string): number {
    if (!this.#tables.has('event')) return 0
    const sql = `SELECT count(*) AS waiting FROM event
      WHERE operation_id = ? AND head NOT LIKE '%"to":"directory"%'`
    return this.#tables.sql.exec<{ waiting: number }>(sql, operationId).one().waiting
  }
}

function toHead(row: HeadRow): EventHead & Pick<PendingEvent, 'retry'> {
  const { lane, sequence, due_at: dueAt } = row
  const head = JSON.parse(row.head) as Pick<PendingEvent, 'recipient' | 'retry' | 'death'>
  return { ...head, lane, sequence, dueAt }
}

/** Whether an operation belongs on the operator's list. Observed operations do not. */
function isListed(record: OperationRecord | null): boolean {
  return doubtOf(record) !== null && record?.events !== null
}
