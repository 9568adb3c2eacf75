import type { HapaxEnv } from '../config/env.ts'
import { createDigest } from '../core/digest.ts'
import { type CloudEvent, DELIVERY_RETRY, type Destination } from '../core/event.ts'
import { doubtOf } from '../core/record.ts'
import { backoffMs } from '../core/retry.ts'
import { logFault } from '../metrics/log.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { traced } from '../metrics/trace.ts'
import { openStoredBytes, toStoredBytes } from './at-rest.ts'
import { deliver, type DeliveryEnd } from './delivery.ts'
import { type DeadLetter, directoryOf } from './directory-guard.ts'
import { inTime } from './in-time.ts'
import type { Ledger } from './ledger.ts'
import type { Outgoing } from './operation-guard.ts'
import type { Death, NewEvent, PendingEvent } from './record-store.ts'

/** A receiver may ask for a pause with `Retry-After`, but not for one without an end. */
const MAX_PAUSE_MS = 86_400_000

/** How long the directory may take to answer, in milliseconds. */
const DIRECTORY_LIMIT_MS = 15_000

/** A delivery that could not be made: it may still be, once the secret is back. */
const UNOPENED: DeliveryEnd = {
  kind: 'failed',
  reason: 'it cannot be opened: the secret that it was sealed under is gone',
  afterMs: 0,
}

/** An event that goes out of the deployment. */
type PendingDelivery = PendingEvent & { readonly recipient: Destination }

/** Makes what is stored of the events that a handler has emitted. */
export function toNewEvents(
  env: HapaxEnv,
  operationId: string,
  emitted: readonly Outgoing[],
): Promise<NewEvent[]> {
  return Promise.all(
    emitted.map(async ({ event, to }) => ({
      operationId,
      recipient: to,
      retry: DELIVERY_RETRY,
      bytes: await toStoredBytes(env, 'event', operationId, encode(event)),
      dueAt: Date.now(),
    })),
  )
}

/**
 * Delivers the events of an object: at least once, those of one operation to one recipient in their
 * order. What was sent and not yet taken off is sent again, with the same id.
 */
export class Outbox {
  readonly #env: HapaxEnv
  readonly #ledger: Ledger
  #isDelivering = false
  /** When the directory was last told of an operation: each time is later than the one before. */
  #saidAt = 0

  constructor(env: HapaxEnv, ledger: Ledger) {
    this.#env = env
    this.#ledger = ledger
  }

  /** Delivers what is due, one after the other until nothing is. */
  async deliverDue(): Promise<void> {
    // Two at once would send everything twice.
    if (this.#isDelivering) return
    this.#isDelivering = true
    try {
      for (;;) {
        const due = this.#ledger.listDueEvents()
        if (due.length === 0) return
        // oxlint-disable-next-line no-await-in-loop -- what stands behind comes after
        await Promise.all(due.map((pending) => this.#deliverOne(pending)))
      }
    } finally {
      this.#isDelivering = false
    }
  }

  async #deliverOne({ recipient, ...rest }: PendingEvent): Promise<void> {
    if (recipient.to === 'directory') return this.#notify({ recipient, ...rest })
    const pending = { recipient, ...rest }
    const event = await this.#open(pending)
    if (pending.death !== undefined) return this.#bury(pending, event, pending.death)
    const startedAt = Date.now()
    const end = event === null ? UNOPENED : await this.#deliver(recipient, event)
    const death = deathOf(pending, end)
    const status = death === null ? STATUSES[end.kind] : 'dead'
    const counted = event ?? this.#namesOf(pending)
    recordDelivery(this.#env, { ...pending, event: counted, status, startedAt })
    if (death !== null) return this.#bury(pending, event, death)
    if (end.kind === 'delivered') return this.#ledger.deleteEvent(pending)
    this.#postpone(pending, end.reason, end.kind === 'failed' ? end.afterMs : 0)
  }

  #deliver(recipient: Destination, event: CloudEvent): Promise<DeliveryEnd> {
    const attributes = { 'hapax.event_id': event.id, 'hapax.correlation_id': event.correlationid }
    return traced('hapax deliver', attributes, () => deliver(this.#env, recipient, event))
  }

  async #open({ operationId, bytes }: PendingEvent): Promise<CloudEvent | null> {
    try {
      const opened = await openStoredBytes(this.#env, 'event', operationId, bytes)
      return JSON.parse(new TextDecoder().decode(opened)) as CloudEvent
    } catch {
      return null
    }
  }

  /** What an event that cannot be opened is called: its operation tells whose it is. */
  #namesOf({ operationId }: PendingEvent): Pick<CloudEvent, 'type' | 'tenant' | 'correlationid'> {
    const record = this.#ledger.find(operationId)
    const { tenant = '', correlationId: correlationid = '' } = record ?? {}
    return { type: 'sealed', tenant, correlationid }
  }

  #postpone(pending: PendingEvent, reason: string, afterMs: number): void {
    logFault('an event was not delivered; it will be tried again', new Error(reason))
    const backoff = backoffMs(pending.retry, pending.failures + 1, Math.random())
    const delayMs = Math.max(1, backoff, Math.min(afterMs, MAX_PAUSE_MS))
    this.#ledger.postponeEvent(pending, Date.now() + delayMs)
  }

  /** What nobody takes is kept where an operator finds it; where that fails, it is not sent again. */
  async #bury(pending: PendingDelivery, event: CloudEvent | null, death: Death): Promise<void> {
    try {
      const letter = await this.#toLetter(pending, event, death)
      await inTime(directoryOf(this.#env).bury(letter), DIRECTORY_LIMIT_MS)
      this.#ledger.deleteEvent(pending)
    } catch (error) {
      logFault('a dead letter could not be kept', error)
      this.#postpone({ ...pending, death }, death.reason, 0)
    }
  }

  /** An event that cannot be opened is kept as it is: it opens once its secret is back. */
  async #toLetter(
    pending: PendingDelivery,
    event: CloudEvent | null,
    { reason, attempts }: Death,
  ): Promise<DeadLetter> {
    const { operationId, recipient } = pending
    const id = await toLetterId(this.#env, pending, event)
    const { type, tenant, correlationid } = event ?? this.#namesOf(pending)
    return {
      id,
      from: 'outbox',
      destination: recipient,
      type,
      tenant: tenant === '' ? null : tenant,
      operationId,
      correlationId: correlationid === '' ? null : correlationid,
      reason,
      attempts,
      at: Date.now(),
      ...(event === null
        ? { isUnopened: true, bytes: pending.bytes }
        : { bytes: await toStoredBytes(this.#env, 'dead letter', id, encode(event)) }),
    }
  }

  /**
   * Puts an operation whose outcome is unknown onto the operator's list, or strikes it off: as its
   * record says now, whatever the notice said.
   */
  async #notify(pending: PendingEvent): Promise<void> {
    try {
      await inTime(this.#list(pending.operationId), DIRECTORY_LIMIT_MS)
      this.#ledger.deleteEvent(pending)
    } catch (error) {
      logFault("the operator's list was not brought up to date", error)
      this.#postpone(pending, 'the directory did not answer', 0)
    }
  }

  async #list(operationId: string): Promise<void> {
    const record = this.#ledger.find(operationId)
    const doubt = doubtOf(record)
    const directory = directoryOf(this.#env)
    this.#saidAt = Math.max(Date.now(), this.#saidAt + 1)
    if (record === null || doubt === null) return directory.unlist(operationId, this.#saidAt)
    const { tenant, operation, correlationId } = record
    return directory.list({ operationId, tenant, operation, correlationId, ...doubt }, this.#saidAt)
  }
}

const STATUSES = { delivered: 'delivered', failed: 'retried', refused: 'dead' } as const

/** @returns `null` while it may still be delivered. */
function deathOf({ failures, retry }: PendingEvent, end: DeliveryEnd): Death | null {
  const attempts = failures + 1
  const isOver = end.kind === 'refused' || (end.kind === 'failed' && attempts >= retry.attempts)
  return isOver ? { reason: end.reason, attempts } : null
}

const encode = (event: CloudEvent) =>
  new Uint8Array(new TextEncoder().encode(JSON.stringify(event)))

/** Names a dead letter: one event may be one for each of its recipients. */
function toLetterId(
  env: HapaxEnv,
  { operationId, recipient, bytes }: PendingEvent,
  event: CloudEvent | null,
): Promise<string> {
  const digest = createDigest(env.HAPAX_DIGEST_KEY)
  const to = JSON.stringify(recipient)
  return event === null
    ? digest('dead letter', operationId, to, bytes)
    : digest('dead letter', event.id, to)
}
