import type { Death } from '../core/event/event-delivery.ts'
import { DELIVERY_RETRY, type DeliveryRetry } from '../core/event/event.ts'
import { rulesFor, toStateEvent } from '../core/event/state-event.ts'
import { isRecoverable } from '../core/operation/due.ts'
import { doubtOf, type OperationRecord } from '../core/operation/record.ts'
import { inClear } from '../platform/at-rest.ts'
import { DIRECTORY, type Recipient, receiverOf } from './event-receiver.ts'
import { insertEvent, RECIPIENT, sequencesOf } from './event-rows.ts'
import type { Tables } from './tables.ts'

/** The first event of those with one operation and one recipient: only it may be delivered. */
export interface EventHead {
  /** Names the operation and the recipient. */
  readonly lane: string
  readonly recipient: Recipient
  /** Names the event while it is stored, and orders those of an operation. */
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

/** An event that is to be stored. */
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

/** Names the events with one operation and one recipient. */
const LANE = `operation_id || ${RECIPIENT}`

const OF_OPERATION = 'sequence BETWEEN ? AND ? AND operation_id = ?'

const GOES_OUT = `json_extract(head, '$.recipient.to') <> 'directory'`

/** Every receiver of a first event, found by the index: many events may wait for one of them. */
const RECEIVERS = `
  WITH RECURSIVE found (receiver) AS (
    SELECT min(receiver) FROM event WHERE receiver IS NOT NULL
    UNION ALL
    SELECT (SELECT min(receiver) FROM event WHERE receiver > found.receiver)
    FROM found WHERE receiver IS NOT NULL
  )
  SELECT receiver FROM found WHERE receiver IS NOT NULL`

/** A number is given again after the event is gone, so an event is also identified by its content. */
const IS_THIS_EVENT = 'WHERE sequence = ? AND operation_id = ? AND bytes = ?'

const namesOf = ({ sequence, operationId, bytes }: PendingEvent) =>
  [sequence, operationId, bytes] as const

const ofOperation = (operationId: string) => [...sequencesOf(operationId), operationId] as const

/** The events of an object that wait for their delivery, and its notices for the operator's list. */
export class EventTable {
  readonly #tables: Tables
  /** Receivers whose first events are others since the last look. */
  #changed = new Set<string>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  get #sql(): SqlStorage {
    return this.#tables.sql
  }

  add({ operationId, bytes, dueAt, ...head }: NewEvent): void {
    this.#tables.requireEvents()
    const event = { operationId, head: JSON.stringify(head), bytes, failures: 0, dueAt }
    this.#changed.add(insertEvent(this.#sql, event))
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
    const rules = rulesFor(after)
    if (rules.length === 0) return
    const text = JSON.stringify(toStateEvent(operationId, after, now))
    const bytes = inClear(new Uint8Array(new TextEncoder().encode(text)))
    for (const { to, retry } of rules) {
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
   * notice. A newer one takes the place of an older one, which it does not wait for: it has other
   * bytes, so that the end of a running delivery deletes only its own notice.
   */
  #replaceNotice(operationId: string, dueAt: number): void {
    const bytes = new Uint8Array(new TextEncoder().encode(crypto.randomUUID()))
    const head = { recipient: { to: DIRECTORY }, retry: DELIVERY_RETRY } as const
    const known = this.#findNotice(operationId)
    if (known === null) {
      return this.add({ operationId, ...head, bytes, dueAt, mayBeListed: false })
    }
    this.#changed.add(DIRECTORY)
    this.#sql.exec(
      'UPDATE event SET head = ?, bytes = ?, failures = 0, due_at = ? WHERE sequence = ?',
      JSON.stringify({ ...head, mayBeListed: true }),
      bytes,
      dueAt,
      known,
    )
  }

  /**
   * Takes back the first notice of an operation if nobody has tried to deliver it yet.
   *
   * @returns `false` when the list may already contain the operation.
   */
  #dropEarlyNotice(operationId: string, now: number): boolean {
    const known = this.#findNotice(operationId)
    if (known === null) return false
    this.#changed.add(DIRECTORY)
    const sql = `DELETE FROM event WHERE sequence = ? AND failures = 0 AND due_at > ?
      AND json_extract(head, '$.mayBeListed') = 0`
    return this.#sql.exec(sql, known, now).rowsWritten > 0
  }

  /** The number of the notice of an operation for the operator's list, or `null`. */
  #findNotice(operationId: string): number | null {
    if (!this.#tables.has('event')) return null
    const [notice] = this.#sql.exec<{ sequence: number }>(
      `SELECT sequence FROM event WHERE ${OF_OPERATION} AND NOT ${GOES_OUT} LIMIT 1`,
      ...ofOperation(operationId),
    )
    return notice?.sequence ?? null
  }

  /** The receivers that first events wait for. */
  listReceivers(): string[] {
    if (!this.#tables.has('event')) return []
    return Array.from(this.#sql.exec<{ receiver: string }>(RECEIVERS), ({ receiver }) => receiver)
  }

  /** The first events of lanes that wait for a receiver, the longest due first, at most `limit` of them. */
  listHeads(receiver: string, limit: number): EventHead[] {
    if (!this.#tables.has('event')) return []
    const sql = `SELECT ${LANE} AS lane, sequence, head, due_at FROM event
      WHERE receiver = ? ORDER BY due_at, sequence LIMIT ?`
    return Array.from(this.#sql.exec<HeadRow>(sql, receiver, limit), toHead)
  }

  /** The receivers whose first events have changed since the last call. */
  takeChanged(): ReadonlySet<string> {
    const changed = this.#changed
    if (changed.size > 0) this.#changed = new Set()
    return changed
  }

  read(sequence: number): PendingEvent {
    const sql = `SELECT *, ${LANE} AS lane FROM event WHERE sequence = ?`
    const row = this.#sql.exec<EventRow>(sql, sequence).one()
    const { operation_id: operationId, failures } = row
    return { ...toHead(row), operationId, bytes: new Uint8Array(row.bytes), failures }
  }

  /** Notes a failure. Nothing happens when the event is gone: its operation was erased during the delivery. */
  postpone(event: PendingEvent): void {
    const { recipient, retry, death, failures, dueAt } = event
    this.#noteEnd(event)
    if (!this.#tables.has('event')) return
    const head = JSON.stringify({ recipient, retry, death })
    const change = `UPDATE event SET head = ?, failures = ?, due_at = ?, receiver = ? ${IS_THIS_EVENT}`
    this.#sql.exec(change, head, failures, dueAt, receiverOf(event), ...namesOf(event))
  }

  /** Takes an event off. The next one of its lane takes its place. Of an event that is gone, as for `postpone`. */
  delete(event: PendingEvent): void {
    this.#noteEnd(event)
    if (!this.#tables.has('event')) return
    const [next] = this.#sql.exec<{ sequence: number }>(
      `SELECT sequence FROM event WHERE ${OF_OPERATION} AND ${RECIPIENT} = json(?)
        ORDER BY sequence LIMIT 1`,
      event.sequence + 1,
      sequencesOf(event.operationId)[1],
      event.operationId,
      JSON.stringify(event.recipient),
    )
    if (next === undefined) this.#sql.exec(`DELETE FROM event ${IS_THIS_EVENT}`, ...namesOf(event))
    else this.#moveUp(next.sequence, event)
  }

  /**
   * Puts the next event of a lane in the place of the first. It is due already, so the time may stay:
   * with it the index stays as it is, unless the first one was dead.
   */
  #moveUp(next: number, first: PendingEvent): void {
    const isDead = first.death !== undefined
    const moved = this.#sql.exec(
      `UPDATE event SET (head, bytes, failures) =
        (SELECT head, bytes, failures FROM event WHERE sequence = ?)
        ${isDead ? ', receiver = ?' : ''} ${IS_THIS_EVENT}`,
      next,
      ...(isDead ? [receiverOf({ recipient: first.recipient })] : []),
      ...namesOf(first),
    )
    if (moved.rowsWritten > 0) this.#sql.exec('DELETE FROM event WHERE sequence = ?', next)
  }

  /** Its lane is free again, whether or not the event is still there. */
  #noteEnd({ recipient, death }: PendingEvent): void {
    this.#changed.add(receiverOf({ recipient })).add(receiverOf({ recipient, death }))
  }

  /** Deletes the events that leave the deployment. A notice stays: it updates the operator's list. */
  deleteAllOf(operationId: string): void {
    if (!this.#tables.has('event')) return
    const sql = `DELETE FROM event WHERE ${OF_OPERATION} AND ${GOES_OUT} RETURNING receiver`
    const deleted = this.#sql.exec<{ receiver: string | null }>(sql, ...ofOperation(operationId))
    for (const { receiver } of deleted) if (receiver !== null) this.#changed.add(receiver)
  }

  /** Events of an operation that wait and go out of the deployment. */
  count(operationId: string): number {
    if (!this.#tables.has('event')) return 0
    const sql = `SELECT count(*) AS waiting FROM event WHERE ${OF_OPERATION} AND ${GOES_OUT}`
    const counted = this.#sql.exec<{ waiting: number }>(sql, ...ofOperation(operationId))
    return counted.one().waiting
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
