import type { HapaxEnv } from '../config/env.ts'
import { type Duration, parseDuration } from '../core/duration.ts'
import type { Destination } from '../core/event/destination.ts'
import { decideEventFate } from '../core/event/event-delivery.ts'
import {
  type CloudEvent,
  DELIVERY_RETRY,
  type DeliveryRetry,
  type EmittedEvent,
  type EventOrigin,
  toEmitted,
  toSendable,
} from '../core/event/event.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { fewAtOnce } from '../platform/few-at-once.ts'
import { inTime } from '../platform/in-time.ts'
import { type OutboxStatements, outboxStatements } from './d1-outbox-sql.ts'
import { deliver } from './delivery.ts'

export { D1_OUTBOX_SQL, d1OutboxSql, d1OutboxUpgradeSql } from './d1-outbox-sql.ts'

/** Options of an outbox. */
export interface D1OutboxOptions {
  /** Name of the table that the migration created. Default: `hapax_outbox`. */
  readonly table?: string
  /** How a failed delivery is retried. If all attempts fail, the event is dead. */
  readonly retry?: {
    /** Maximum number of deliveries, including the first. Default: 12. */
    readonly attempts?: number
    /** Upper bound of the first delay, which doubles with each attempt. Default: `'1s'`. */
    readonly base?: Duration
    /** Upper bound of all delays. Default: `'10m'`. */
    readonly cap?: Duration
  }
  /** How long a stream stays with a dead relay until another one takes over, at least `'30s'`. Default: `'60s'`. */
  readonly lease?: Duration
  /** The clock, in epoch milliseconds. Default: `Date.now`. */
  readonly now?: () => number
  /** Returns a number in [0, 1). Default: `Math.random`. */
  readonly random?: () => number
}

/** Properties of all events of one `insert`. */
export interface OutboxOrigin extends Omit<EventOrigin, 'traceparent'> {
  /** W3C Trace Context. Default: empty. */
  readonly traceparent?: string
  /**
   * Unique name of the business operation. Its events get the ids `{operationId}:1`,
   * `{operationId}:2`, …, so repeating the batch does not add them again. At most 200 letters, digits
   * and `_:+/=-`. Default: the ids are random.
   */
  readonly operationId?: string
  /**
   * Events of one stream, such as those of one customer, are delivered to a destination in the order
   * of their commits. Default: the events of one `insert` are a stream.
   */
  readonly stream?: string
}

/** How the deliveries of one `relay` ended. */
export interface RelayCounts {
  readonly delivered: number
  /** Deliveries that will be retried. */
  readonly failed: number
  readonly dead: number
}

/** An event that could not be delivered. */
export interface DeadEvent {
  /** Position in the outbox. Pass it to `listDead` as `before` to get the next page. */
  readonly sequence: number
  readonly id: string
  readonly stream: string
  readonly to: Destination
  readonly event: CloudEvent
  /** Why the last delivery failed. */
  readonly reason: string
  /** Number of failed deliveries. */
  readonly attempts: number
  /** Epoch milliseconds. */
  readonly createdAt: number
  readonly deadAt: number
}

/** Number and age of the events in an outbox. */
export interface OutboxStats {
  readonly pending: number
  readonly dead: number
  /** Age of the oldest pending event, in milliseconds; `null` if there is none. */
  readonly oldestMs: number | null
}

interface Row {
  readonly sequence: number
  readonly stream: string
  readonly destination: string
  readonly event: string
  readonly failures: number
  readonly due_at: number
  readonly lease_until: number
}

type DeadRow = Omit<DeadEvent, 'to' | 'event'> & Pick<Row, 'destination' | 'event'>

/** Streams of one claim, events of each in one turn, and connections that a Worker may open at once. */
const CLAIM_STREAMS = 20
const MAX_TURN = 5
const CONNECTIONS = 6

/** How long a delivery and the statement before it may take: together, less than the shortest lease. */
const DELIVERY_LIMIT_MS = 16_000
const STATEMENT_LIMIT_MS = 10_000
const LEASE_MS = 60_000
const MIN_LEASE_MS = 30_000

/** Maximum difference between the clocks of two relays. */
const MAX_SKEW_MS = 60_000
const CLEANUP_BATCH = 1_000

/**
 * Opens an outbox in your own database: events are committed in the same batch as the rows that they
 * describe, and then delivered by `relay` at least once. The migration `D1_OUTBOX_SQL` creates the
 * table.
 *
 * @throws {TypeError} If an option is invalid.
 * @example
 *   const outbox = createD1Outbox(env.DB)
 *   await env.DB.batch([
 *     env.DB.prepare('INSERT INTO orders (id) VALUES (?)').bind(id),
 *     ...outbox.insert({ type: 'order.placed', data: { id }, to: queue('ORDERS') }, origin),
 *   ])
 */
export function createD1Outbox(db: D1Database, options: D1OutboxOptions = {}): D1Outbox {
  return new D1Outbox(db, options)
}

/** See `createD1Outbox`. */
export class D1Outbox {
  readonly #db: D1Database
  readonly #sql: OutboxStatements
  readonly #retry: DeliveryRetry
  readonly #leaseMs: number
  readonly #now: () => number
  readonly #random: () => number

  constructor(db: D1Database, { table, retry = {}, lease, now, random }: D1OutboxOptions) {
    this.#db = db
    this.#sql = outboxStatements(table)
    this.#retry = {
      attempts: atLeastOne('retry.attempts', retry.attempts ?? DELIVERY_RETRY.attempts),
      baseMs: toMs('retry.base', retry.base ?? DELIVERY_RETRY.baseMs),
      capMs: toMs('retry.cap', retry.cap ?? DELIVERY_RETRY.capMs),
    }
    this.#leaseMs = toMs('lease', lease ?? LEASE_MS, MIN_LEASE_MS)
    this.#now = now ?? Date.now
    this.#random = random ?? Math.random
  }

  /**
   * Creates the statements that add events. Run them in one `db.batch` with the rows that the events
   * describe, so that either both are committed or neither.
   *
   * @throws {TypeError} If an event is malformed, its data is not JSON, or it is too large.
   */
  insert(
    events: EmittedEvent | readonly EmittedEvent[],
    origin: OutboxOrigin,
  ): D1PreparedStatement[] {
    const { operationId, stream = operationId ?? crypto.randomUUID() } = origin
    requireOperationId(operationId)
    if (typeof stream !== 'string' || stream === '') {
      throw new TypeError('stream must be a text that is not empty.')
    }
    const now = this.#now()
    return [events].flat().map((event, index) => {
      const id = operationId === undefined ? crypto.randomUUID() : `${operationId}:${index + 1}`
      const sent = toSendable(event)
      const destination = JSON.stringify(sent.to)
      const delivered = JSON.stringify(toEmitted(sent, id, { traceparent: '', ...origin }, now))
      return this.#db.prepare(this.#sql.insert).bind(id, stream, destination, delivered, now)
    })
  }

  /**
   * Delivers the due events. Call it from a cron trigger, a queue, or `ctx.waitUntil` after a request.
   * Several relays may run at once. If a relay dies, events that it sent and did not mark are sent
   * again after the lease, with the same id.
   *
   * @param options.limit Maximum number of events. Default: 100. Each takes two queries, or one if it
   *   fails, and each claim of up to 20 streams takes one more.
   * @throws {Error} If the database fails. The other streams are handled first.
   */
  async relay(env: HapaxEnv, { limit = 100 }: { limit?: number } = {}): Promise<RelayCounts> {
    const counts = { delivered: 0, failed: 0, dead: 0 }
    // An event that fails becomes due later, so this relay tries it only once.
    const dueBy = this.#now()
    atLeastOne('limit', limit)
    for (;;) {
      const left = limit - counts.delivered - counts.failed - counts.dead
      if (left === 0) return counts
      const lease = `${this.#now()} ${crypto.randomUUID()}`
      const streams = Math.min(CLAIM_STREAMS, left)
      // oxlint-disable-next-line no-await-in-loop -- the next claim is for what this one leaves
      const heads = await this.#claim(lease, dueBy, streams)
      if (heads.length === 0) return counts
      const share = Math.floor(left / heads.length)
      // If this relay has all due streams, no other stream waits.
      const most = heads.length < streams ? share : Math.min(MAX_TURN, share)
      const turn = { lease, dueBy, most, counts }
      // oxlint-disable-next-line no-await-in-loop -- as above
      await eachOf(heads, (head) => this.#deliverStream(env, head, turn))
    }
  }

  /**
   * Lists dead events, newest first.
   *
   * @param question.before `sequence` of the last event of the previous page.
   */
  async listDead({ limit, before }: { limit: number; before?: number }): Promise<DeadEvent[]> {
    const { results } = await this.#db
      .prepare(this.#sql.listDead)
      .bind(before ?? Number.MAX_SAFE_INTEGER, atLeastOne('limit', limit))
      .all<DeadRow>()
    return results.map(toDeadEvent)
  }

  /**
   * Makes a dead event due again, with the same id and new attempts. In its stream, it comes before
   * later events that are not delivered yet.
   *
   * @returns `false` if there is no dead event with this id.
   */
  async replay(id: string): Promise<boolean> {
    const { meta } = await this.#db.prepare(this.#sql.replay).bind(id, this.#now()).run()
    return meta.changes > 0
  }

  /**
   * Deletes delivered events. If their batch is repeated later, it adds them again.
   *
   * @returns The number of deleted events.
   * @throws {TypeError} If `olderThan` is not a duration.
   */
  async cleanup({ olderThan }: { olderThan: Duration }): Promise<number> {
    const before = this.#now() - toMs('olderThan', olderThan)
    const statement = this.#db.prepare(this.#sql.cleanup).bind(before, CLEANUP_BATCH)
    for (let total = 0; ;) {
      // oxlint-disable-next-line no-await-in-loop -- a query of D1 is limited to 30 seconds
      const { meta } = await statement.run()
      total += meta.changes
      if (meta.changes < CLEANUP_BATCH) return total
    }
  }

  /** Counts the events. If no relay runs, the age of the oldest one grows. */
  async stats(): Promise<OutboxStats> {
    type Counts = Pick<OutboxStats, 'pending' | 'dead'> & { readonly oldestAt: number | null }
    const row = await this.#db.prepare(this.#sql.stats).first<Counts>()
    const { pending = 0, dead = 0, oldestAt = null } = row ?? {}
    return { pending, dead, oldestMs: oldestAt === null ? null : this.#now() - oldestAt }
  }

  async #claim(lease: string, dueBy: number, streams: number): Promise<Row[]> {
    const now = this.#now()
    const statement = this.#db
      .prepare(this.#sql.claim)
      .bind(lease, now + this.#leaseMs, now, dueBy, streams, now + MAX_SKEW_MS)
    const { results } = await inTime(statement.all<Row>(), STATEMENT_LIMIT_MS)
    // `RETURNING` has no order.
    return results.toSorted((one, other) => one.sequence - other.sequence)
  }

  /**
   * Delivers the events of a stream in order, until its turn is over or one fails, which the later ones
   * wait for. The database tells the next event, and whether this relay still holds the lease: its own
   * clock may be wrong.
   */
  async #deliverStream(env: HapaxEnv, head: Row, turn: Turn): Promise<void> {
    let row: Row | null = head
    for (let taken = 1; row !== null; taken++) {
      // oxlint-disable-next-line no-await-in-loop -- the order is the point
      const end = this.#isReady(row, turn) ? await this.#deliverOne(env, row, turn) : 'released'
      if (end !== 'released') turn.counts[end]++
      if (end === 'failed') return
      if (end === 'released' || taken === turn.most) return this.#release(row, turn)
      // oxlint-disable-next-line no-await-in-loop -- as above
      row = await this.#next(row, turn)
    }
  }

  /** Whether it is due, and its delivery will end before the lease. */
  #isReady({ due_at, lease_until }: Row, { dueBy }: Turn): boolean {
    return due_at <= dueBy && this.#now() + DELIVERY_LIMIT_MS <= lease_until
  }

  async #next({ stream, destination }: Row, { lease }: Turn): Promise<Row | null> {
    const statement = this.#db.prepare(this.#sql.next).bind(lease, stream, destination)
    return inTime(statement.first<Row>(), STATEMENT_LIMIT_MS)
  }

  /** Lets another relay continue with the stream. */
  async #release({ stream, destination }: Row, { lease }: Turn): Promise<void> {
    await this.#run(this.#sql.release, lease, stream, destination)
  }

  async #deliverOne(env: HapaxEnv, row: Row, { lease }: Turn): Promise<keyof RelayCounts> {
    const { sequence, failures } = row
    const startedAt = this.#now()
    const event = JSON.parse(row.event) as CloudEvent
    const end = await deliver(env, JSON.parse(row.destination) as Destination, event)
    const now = this.#now()
    const fate = decideEventFate(end, { retry: this.#retry, failures }, now, this.#random)
    switch (fate.kind) {
      case 'delivered':
        await this.#run(this.#sql.deliver, sequence, now)
        break
      case 'dead':
        await this.#run(this.#sql.bury, sequence, lease, fate.death.reason, now)
        break
      case 'retried':
        await this.#run(this.#sql.postpone, sequence, lease, fate.reason, fate.dueAt)
    }
    recordDelivery(env, { event, operationId: null, failures, startedAt, status: fate.kind })
    return fate.kind === 'retried' ? 'failed' : fate.kind
  }

  async #run(sql: string, ...values: readonly (string | number)[]): Promise<void> {
    const statement = this.#db.prepare(sql).bind(...values)
    await inTime(statement.run(), STATEMENT_LIMIT_MS)
  }
}

/** A turn of one stream, with its maximum number of events. */
interface Turn {
  readonly lease: string
  readonly dueBy: number
  readonly most: number
  readonly counts: { -readonly [end in keyof RelayCounts]: number }
}

/** Works on several streams at once. One that throws does not stop the others. */
async function eachOf(heads: Row[], work: (head: Row) => Promise<void>): Promise<void> {
  const faults: unknown[] = []
  await fewAtOnce(heads.values(), CONNECTIONS, (head) =>
    work(head).catch((fault: unknown) => void faults.push(fault)),
  )
  if (faults.length > 0) {
    throw new Error('A relay could not note how deliveries ended; they may be made again.', {
      cause: faults[0],
    })
  }
}

function toDeadEvent({ sequence, id, stream, destination, event, ...rest }: DeadRow): DeadEvent {
  const to = JSON.parse(destination) as Destination
  return { sequence, id, stream, to, event: JSON.parse(event) as CloudEvent, ...rest }
}

/** The id becomes part of a signed webhook header, in which Standard Webhooks forbids a full stop. */
function requireOperationId(value: unknown): void {
  if (value === undefined || (typeof value === 'string' && OPERATION_ID.test(value))) return
  throw new TypeError("operationId must be 1 to 200 letters, digits and '_:+/=-'.")
}

const OPERATION_ID = /^[\w:+/=-]{1,200}$/

function atLeastOne(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new TypeError(`${name} must be a whole number from 1 on.`)
}

function toMs(name: string, value: Duration, minMs = 0): number {
  const ms = parseDuration(value)
  if (ms !== null && ms >= minMs) return ms
  throw new TypeError(`${name} must be a duration such as '60s', of at least ${minMs} ms.`)
}
