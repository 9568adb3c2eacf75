import type { Death } from '../core/event/event-delivery.ts'
import { idNumber } from '../core/operation/id-number.ts'
import { type Recipient, receiverOf } from './event-receiver.ts'

/** The recipient of a row. Events of one operation and one recipient are a lane. */
export const RECIPIENT = `json_extract(head, '$.recipient')`

/** How many numbers the events of an operation have. They are given in order. */
const RANGE = 2 ** 23

/** The first characters of an operation's id choose its range: 30 bits. */
const RANGE_CHARACTERS = 5

/** What a row holds, except its number. */
interface StoredEvent {
  readonly operationId: string
  /** JSON with `recipient` and, of a dead event, `death`. */
  readonly head: string
  readonly bytes: ArrayBuffer | Uint8Array
  readonly failures: number
  readonly dueAt: number
}

/**
 * The first and the last number that events of an operation may have, so that the primary key finds
 * them. Another operation may share them.
 */
export function sequencesOf(operationId: string): readonly [first: number, last: number] {
  const range = idNumber(operationId.slice(0, RANGE_CHARACTERS))
  return [range * RANGE, (range + 1) * RANGE - 1]
}

/** Creates the table. Only the first event of a lane has a receiver, and with it a place in the index. */
export function createEventTable(sql: SqlStorage): void {
  sql.exec(`
    CREATE TABLE IF NOT EXISTS event (
      sequence INTEGER PRIMARY KEY,
      operation_id TEXT NOT NULL,
      head TEXT NOT NULL,
      bytes BLOB NOT NULL,
      failures INTEGER NOT NULL,
      due_at INTEGER NOT NULL,
      receiver TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS event_due ON event (receiver, due_at) WHERE receiver IS NOT NULL;`)
}

/**
 * Takes over the events that an earlier version has stored, or has changed after a rollback: it
 * creates the index `event_lane` if that is not there.
 *
 * @param names Tables and indexes of the object.
 */
export function adoptEvents(sql: SqlStorage, names: ReadonlySet<string>): void {
  if (names.has('event_due') && !names.has('event_lane')) return
  sql.exec(`
    DROP INDEX IF EXISTS event_due;
    ALTER TABLE event RENAME TO event_before;`)
  createEventTable(sql)
  const rows = sql.exec<{
    id: string
    head: string
    bytes: ArrayBuffer
    failures: number
    at: number
  }>(
    `SELECT operation_id AS id, head, bytes, failures, due_at AS at
      FROM event_before ORDER BY sequence`,
  )
  for (const { id: operationId, at: dueAt, ...row } of rows.toArray()) {
    insertEvent(sql, { ...row, operationId, dueAt })
  }
  sql.exec('DROP TABLE event_before')
}

/** Stores an event behind all others of its operation. @returns Its receiver. */
export function insertEvent(sql: SqlStorage, event: StoredEvent): string {
  const { operationId, head, bytes, failures, dueAt } = event
  const [first, last] = sequencesOf(operationId)
  const { newest } = sql
    .exec<{ newest: number | null }>(
      'SELECT max(sequence) AS newest FROM event WHERE sequence BETWEEN ? AND ?',
      first,
      last,
    )
    .one()
  const parsed = JSON.parse(head) as { recipient: Recipient; death?: Death }
  const isBehind = newest !== null && hasLane(sql, operationId, parsed.recipient)
  const receiver = receiverOf(parsed)
  sql.exec(
    `INSERT INTO event (sequence, operation_id, head, bytes, failures, due_at, receiver)
      VALUES (?, ?, ?, ?, ?, ?, ?)`,
    newest === null ? first : newest + 1,
    operationId,
    head,
    bytes,
    failures,
    dueAt,
    isBehind ? null : receiver,
  )
  return receiver
}

function hasLane(sql: SqlStorage, operationId: string, recipient: Recipient): boolean {
  const found = sql.exec(
    `SELECT 1 FROM event WHERE sequence BETWEEN ? AND ? AND operation_id = ? AND ${RECIPIENT} = json(?)
      ORDER BY sequence DESC LIMIT 1`,
    ...sequencesOf(operationId),
    operationId,
    JSON.stringify(recipient),
  )
  return found.toArray().length > 0
}
