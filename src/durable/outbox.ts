import type { HapaxEnv } from '../config/env.ts'
import { createDigest } from '../core/digest.ts'
import { type CloudEvent, DELIVERY_RETRY, type Destination } from '../core/event.ts'
import { backoffMs } from '../core/retry.ts'
import { logFault } from '../metrics/log.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { traced } from '../metrics/trace.ts'
import { openStoredBytes, toStoredBytes } from './at-rest.ts'
import { deliver, type DeliveryEnd } from './delivery.ts'
import { directoryOf } from './directory-guard.ts'
import type { Ledger } from './ledger.ts'
import type { Outgoing } from './operation-guard.ts'
import type { NewEvent, PendingEvent } from './record-store.ts'

/** A receiver may ask for a pause with `Retry-After`, but not for one without an end. */
const MAX_PAUSE_MS = 86_400_000

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

  async #deliverOne(pending: PendingEvent): Promise<void> {
    const { operationId, recipient, failures } = pending
    const startedAt = Date.now()
    const event = await this.#open(pending)
    if (event === null) return this.#postpone(pending, 'it could not be opened', 0)
    if (recipient.to === 'directory') return this.#notify(pending, event)
    const attributes = { 'hapax.event_id': event.id, 'hapax.correlation_id': event.correlationid }
    const end = await traced('hapax deliver', attributes, () =>
      deliver(this.#env, recipient, event),
    )
    const isLast = failures + 1 >= pending.retry.attempts
    const isDead = end.kind === 'refused' || (end.kind === 'failed' && isLast)
    const status = isDead ? 'dead' : end.kind === 'delivered' ? 'delivered' : 'retried'
    recordDelivery(this.#env, { event, operationId, status, failures, startedAt })
    if (end.kind === 'delivered') this.#ledger.deleteEvent(pending)
    else if (isDead) await this.#bury(pending, event, end)
    else if (end.kind === 'failed') this.#postpone(pending, end.reason, end.afterMs)
  }

  async #open({ operationId, bytes }: PendingEvent): Promise<CloudEvent | null> {
    try {
      const opened = await openStoredBytes(this.#env, 'event', operationId, bytes)
      return JSON.parse(new TextDecoder().decode(opened)) as CloudEvent
    } catch {
      return null
    }
  }

  #postpone(pending: PendingEvent, reason: string, afterMs: number): void {
    logFault('an event was not delivered; it will be tried again', new Error(reason))
    const backoff = backoffMs(pending.retry, pending.failures + 1, Math.random())
    const delayMs = Math.max(1, backoff, Math.min(afterMs, MAX_PAUSE_MS))
    this.#ledger.postponeEvent(pending, Date.now() + delayMs)
  }

  /** What nobody takes is kept where an operator finds it. */
  async #bury(
    pending: PendingEvent,
    event: CloudEvent,
    { reason }: Extract<DeliveryEnd, { kind: 'failed' | 'refused' }>,
  ): Promise<void> {
    const { operationId, recipient, failures } = pending
    if (recipient.to === 'directory') return
    try {
      const id = await toLetterId(this.#env, event, recipient)
      await directoryOf(this.#env).bury({
        id,
        from: 'outbox',
        destination: recipient,
        type: event.type,
        tenant: event.tenant,
        operationId,
        correlationId: event.correlationid,
        reason,
        attempts: failures + 1,
        at: Date.now(),
        bytes: await toStoredBytes(this.#env, 'dead letter', id, encode(event)),
      })
      this.#ledger.deleteEvent(pending)
    } catch (error) {
      logFault('a dead letter could not be kept', error)
      this.#postpone(pending, reason, 0)
    }
  }

  /** Puts an operation whose outcome is unknown onto the operator's list, or strikes it off. */
  async #notify(pending: PendingEvent, event: CloudEvent): Promise<void> {
    const { operationId } = pending
    try {
      const record = this.#ledger.find(operationId)
      const directory = directoryOf(this.#env)
      if (record?.state === 'unknown') {
        const { tenant, operation, settledAt: since, reason } = record
        const entry = { operationId, tenant, operation, since, reason }
        await directory.list({ ...entry, correlationId: event.correlationid })
      } else await directory.strike([{ operationId, since: Date.now() }])
      this.#ledger.deleteEvent(pending)
    } catch (error) {
      logFault("the operator's list was not brought up to date", error)
      this.#postpone(pending, 'the directory did not answer', 0)
    }
  }
}

const encode = (event: CloudEvent) =>
  new Uint8Array(new TextEncoder().encode(JSON.stringify(event)))

/** Names a dead letter: one event may be one for each of its recipients. */
function toLetterId(env: HapaxEnv, { id }: CloudEvent, recipient: Destination): Promise<string> {
  const digest = createDigest(env.HAPAX_DIGEST_KEY)
  return digest('dead letter', id, JSON.stringify(recipient))
}
