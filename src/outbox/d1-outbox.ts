import type { HapaxEnv } from '../config/env.ts'
import type { Destination } from '../core/destination.ts'
import { type Duration, parseDuration } from '../core/duration.ts'
import { decideEventFate } from '../core/event-delivery.ts'
import {
  type CloudEvent,
  DELIVERY_RETRY,
  type DeliveryRetry,
  type EmittedEvent,
  type EventOrigin,
  toEmitted,
  toSendable,
} from '../core/event.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { fewAtOnce } from '../platform/few-at-once.ts'
import { inTime } from '../platform/in-time.ts'
import { type OutboxStatements, outboxStatements } from './d1-outbox-sql.ts'
import { deliver } from './delivery.ts'

export { D1_OUTBOX_SQL, d1OutboxSql, d1OutboxUpgradeSql } from './d1-outbox-sql.ts'

/** Options of an outbox; each has a default. */
export interface D1OutboxOptions {
  /** `hapax_outbox`, unless the migration was made with `d1OutboxSql` for another one. */
  readonly table?: string
  /** How a delivery that fails is tried again, as for a route's events; after that the event is dead. */
  readonly retry?: {
    /** Deliveries at the most, the first one counted: 12. */
    readonly attempts?: number
    /** Upper bound of the first delay, which doubles with every attempt: `'1s'`. */
    readonly base?: Duration
    /** Upper bound of every delay: `'10m'`. */
    readonly cap?: Duration
  }
  /**
   * How long a stream stays with a relay that has died before another one takes it: `'60s'`, at least
   * `'30s'`.
   */
  readonly lease?: Duration
  /** The clock, in epoch milliseconds. */
  readonly now?: () => number
  /** Gives numbers in [0, 1): `Math.random`. */
  readonly random?: () => number
}

/** What the events of one `insert` have in common. */
export interface OutboxOrigin extends Omit<EventOrigin, 'traceparent'> {
  /** W3C Trace Context; empty where it is not known. */
  readonly traceparent?: string
  /**
   * Names the business operation, once: its events get `{operationId}:1`, `{operationId}:2`, … as
   * ids, so that a batch that is repeated adds none twice. Without it ids are random. At most 200
   * letters, digits and `_:+/=-`.
   */
  readonly operationId?: string
  /**
   * Events of one stream that go to one destination are delivered in the order of their commits,
   * such as those of one customer. Unless it says otherwise, those of one `insert` are a stream.
   */
  readonly stream?: string
}

/** How the deliveries of one `relay` have ended. */
export interface RelayCounts {
  readonly delivered: number
  /** Those that will be tried again. */
  readonly failed: number
  readonly dead: number
}

/** An event whose delivery was given up. */
export interface DeadEvent {
  /** Orders the events of an outbox; `listDead` goes on `before` it. */
  readonly sequence: number
  readonly id: string
  readonly stream: string
  readonly to: Destination
  readonly event: CloudEvent
  /** Why the last delivery failed. */
  readonly reason: string
  /** Deliveries that have failed. */
  readonly attempts: number
  /** Epoch milliseconds. */
  readonly createdAt: number
  readonly deadAt: number
}

/** How much is in an outbox. */
export interface OutboxStats {
  readonly pending: number
  readonly dead: number
  /** Age in milliseconds of the event that waits the longest, or `null`: none waits. */
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

/** Streams that one claim takes up, and events of each while others wait; a Worker has six connections at once. */
const CLAIM_STREAMS = 20
const MAX_TURN = 5
const CONNECTIONS = 6

/** How long a delivery may take, and the statement before it: together less than the shortest lease. */
const DELIVERY_LIMIT_MS = 16_000
const STATEMENT_LIMIT_MS = 10_000
const LEASE_MS = 60_000
const MIN_LEASE_MS = 30_000

/** How far the clocks of two relays may be apart. */
const MAX_SKEW_MS = 60_000
const CLEANUP_BATCH = 1_000

/**
 * Opens the outbox in an application's own database: events are committed in the same batch as the
 * rows that they tell of, and delivered by `relay` at least once after that. The table is made by a
 * migration, `D1_OUTBOX_SQL`.
 *
 * @throws {TypeError} When an option is not one.
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
   * Makes the statements that add events, for the caller's own `db.batch`: only together with the
   * rows that they tell of is it certain that there is neither without the other.
   *
   * @throws {TypeError} When an event is not one, its data is not JSON, or it is too large.
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
   * Delivers what is due: from a cron trigger, a queue, or `ctx.waitUntil` after a request. Several
   * may run at once. What was sent and not yet marked when a relay dies is sent again, with the same
   * id, after the lease.
   *
   * @param options.limit Events that are taken up at the most: 100. Each takes two queries, or one
   *   where it fails, and each claim of up to 20 streams one more.
   * @throws {Error} When the database fails; other streams are still seen to before.
   */
  async relay(env: HapaxEnv, { limit = 100 }: { limit?: number } = {}): Promise<RelayCounts> {
    const counts = { delivered: 0, failed: 0, dead: 0 }
    // What fails now becomes due later than this, so no relay tries an event twice.
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
      // Where all that are due are with this relay, no other one waits.
      const most = heads.length < streams ? share : Math.min(MAX_TURN, share)
      const turn = { lease, dueBy, most, counts }
      // oxlint-disable-next-line no-await-in-loop -- as above
      await eachOf(heads, (head) => this.#deliverStream(env, head, turn))
    }
  }

  /**
   * Lists events whose delivery was given up, the last ones first.
   *
   * @param question.before `sequence` of the last one of the page before.
   */
  async listDead({ limit, before }: { limit: number; before?: number }): Promise<DeadEvent[]> {
    const { results } = await this.#db
      .prepare(this.#sql.listDead)
      .bind(before ?? Number.MAX_SAFE_INTEGER, atLeastOne('limit', limit))
      .all<DeadRow>()
    return results.map(toDeadEvent)
  }

  /**
   * Makes a dead event due again, with the same id and all its attempts. In its stream it stands
   * before whatever has not been delivered since.
   *
   * @returns `false` when there is no dead event of this id.
   */
  async replay(id: string): Promise<boolean> {
    const { meta } = await this.#db.prepare(this.#sql.replay).bind(id, this.#now()).run()
    return meta.changes > 0
  }

  /**
   * Deletes delivered events. A batch that is repeated after that adds its events once more.
   *
   * @returns How many there were.
   * @throws {TypeError} When `olderThan` is not a duration.
   */
  async cleanup({ olderThan }: { olderThan: Duration }): Promise<number> {
    const before = this.#now() - toMs('olderThan', olderThan)
    const statement = this.#db.prepare(this.#sql.cleanup).bind(before, CLEANUP_BATCH)
    for (let total = 0; ;) {
      // oxlint-disable-next-line no-await-in-loop -- a query of D1 may take 30 seconds: many small ones
      const { meta } = await statement.run()
      total += meta.changes
      if (meta.changes < CLEANUP_BATCH) return total
    }
  }

  /** Tells how much is in the outbox; a relay that does not run shows as an age that grows. */
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
   * Delivers one event of a stream after the other, until its turn is over or one fails: those behind
   * that wait for it. After each the database is asked for the next one, and whether the stream is
   * still with this relay: what its own clock says of the lease is not enough.
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

  /** Whether it is due, and its delivery will have ended before its lease. */
  #isReady({ due_at, lease_until }: Row, { dueBy }: Turn): boolean {
    return due_at <= dueBy && this.#now() + DELIVERY_LIMIT_MS <= lease_until
  }

  async #next({ stream, destination }: Row, { lease }: Turn): Promise<Row | null> {
    const statement = this.#db.prepare(this.#sql.next).bind(lease, stream, destination)
    return inTime(statement.first<Row>(), STATEMENT_LIMIT_MS)
  }

  /** Another relay may go on with the stream. */
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

/** A turn of one stream: at most so many events of it. */
interface Turn {
  readonly lease: string
  readonly dueBy: number
  readonly most: number
  readonly counts: { -readonly [end in keyof RelayCounts]: number }
}

/** Works on as many streams at once as there are connections. One that throws stops no other. */
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

/**
 * The id is a header of a webhook, and signed in front of a full stop: Standard Webhooks forbids one
 * in what a user may have a hand in.
 */
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
