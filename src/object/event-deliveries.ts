import type { HapaxEnv } from '../config/env.ts'
import { createDigest } from '../core/digest.ts'
import type { Destination } from '../core/event/destination.ts'
import {
  type Death,
  decideEventFate,
  type DeliveryEnd,
  nextTryAt,
} from '../core/event/event-delivery.ts'
import { type CloudEvent, DELIVERY_RETRY } from '../core/event/event.ts'
import type { Outgoing } from '../core/operation/operation-guard.ts'
import { doubtOf } from '../core/operation/record.ts'
import { type DeadLetter, type Directory, directoryOf } from '../directory/directory-guard.ts'
import { logFault } from '../metrics/log.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { traced } from '../metrics/trace.ts'
import { deliver } from '../outbox/delivery.ts'
import { openStoredBytes, toStoredBytes } from '../platform/at-rest.ts'
import { inTime } from '../platform/in-time.ts'
import { placementBeside } from '../platform/objects.ts'
import type { NewEvent, PendingEvent } from './event-table.ts'
import type { Ledger } from './ledger.ts'

/** How long the directory may take to answer, in milliseconds. */
const DIRECTORY_LIMIT_MS = 15_000

/** How long it may take to open an event, in milliseconds: nothing but a computation. */
const OPENING_LIMIT_MS = 5_000

/** An event that cannot be opened may be delivered once its secret is restored. */
const UNOPENED: DeliveryEnd = {
  kind: 'failed',
  reason: 'it cannot be opened: the secret that it was sealed under is gone',
  afterMs: 0,
}

/** An event to a receiver outside of the deployment. */
type PendingDelivery = PendingEvent & { readonly recipient: Destination }

/** Stores the end of a delivery. @returns Events that may go now. */
type Store = () => PendingEvent[]

/** Encodes the events that a handler has emitted, for storage. */
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
 * Delivers the events of an object at least once, and those of one operation to one recipient in
 * order. Events that were sent but not deleted when the object died are sent again, with the same id.
 */
export class EventDeliveries {
  readonly #env: HapaxEnv
  readonly #ledger: Ledger
  readonly #id: DurableObjectId
  readonly #deliveries = new Set<Promise<void>>()
  /** Ends of deliveries that could not be stored: until they are, their events are not sent again. */
  #unstored: Store[] = []
  /** When the directory was last told of an operation: each time is later than the one before. */
  #saidAt = 0

  /** @param id Of the object: the directory is told its name, and is in the same jurisdiction. */
  constructor(env: HapaxEnv, ledger: Ledger, id: DurableObjectId) {
    this.#env = env
    this.#ledger = ledger
    this.#id = id
  }

  get #directory(): Directory {
    return directoryOf(this.#env, placementBeside(this.#id).jurisdiction)
  }

  /**
   * Delivers events that the ledger has handed out, and the events that may go after them.
   *
   * @returns Resolves when nothing is under way any more.
   * @throws {Error} When the end of a delivery could not be stored: the next call tries that again.
   */
  async deliver(events: readonly PendingEvent[]): Promise<void> {
    const unstored = this.#unstored
    this.#unstored = []
    for (const store of unstored) this.#store(store)
    for (const event of events) this.#begin(event)
    // oxlint-disable-next-line no-await-in-loop -- each that ends may let others go
    while (this.#deliveries.size > 0) await Promise.all(this.#deliveries)
    if (this.#unstored.length > 0) throw new Error('An end of a delivery is not stored yet.')
  }

  #begin(event: PendingEvent): void {
    const delivery = this.#deliverOne(event)
      .then((store) => this.#store(store))
      .finally(() => this.#deliveries.delete(delivery))
    this.#deliveries.add(delivery)
  }

  #store(store: Store): void {
    try {
      for (const event of store()) this.#begin(event)
    } catch (error) {
      logFault('the end of a delivery could not be stored; it will be tried again', error)
      this.#unstored.push(store)
    }
  }

  /** Never throws: the lane of the event goes on after any failure. */
  async #deliverOne(event: PendingEvent): Promise<Store> {
    try {
      const { recipient } = event
      return await (recipient.to === 'directory'
        ? this.#notify(event)
        : this.#send({ ...event, recipient }))
    } catch {
      return this.#postponed(event, 'its delivery failed')
    }
  }

  async #send(pending: PendingDelivery): Promise<Store> {
    const event = await this.#open(pending)
    if (pending.death !== undefined) return this.#bury(pending, event, pending.death)
    const startedAt = Date.now()
    const end = event === null ? UNOPENED : await send(this.#env, pending.recipient, event)
    const fate = decideEventFate(end, pending, Date.now(), Math.random)
    const counted = event ?? this.#namesOf(pending)
    recordDelivery(this.#env, { ...pending, event: counted, status: fate.kind, startedAt })
    switch (fate.kind) {
      case 'delivered':
        return () => this.#ledger.deleteEvent(pending)
      case 'dead':
        // Stored before it is buried, which may fail for long: it must not be sent again meanwhile.
        return () => this.#ledger.postponeEvent({ ...pending, death: fate.death }, Date.now())
      case 'retried':
        return this.#postponed(pending, fate.reason, fate.dueAt)
    }
  }

  async #open({ operationId, bytes }: PendingEvent): Promise<CloudEvent | null> {
    try {
      const opening = openStoredBytes(this.#env, 'event', operationId, bytes)
      const opened = await inTime(opening, OPENING_LIMIT_MS)
      return JSON.parse(new TextDecoder().decode(opened)) as CloudEvent
    } catch {
      return null
    }
  }

  /** Names for an event that cannot be opened: the tenant and correlation id of its operation. */
  #namesOf({ operationId }: PendingEvent): Pick<CloudEvent, 'type' | 'tenant' | 'correlationid'> {
    const record = this.#ledger.find(operationId)
    const { tenant = '', correlationId: correlationid = '' } = record ?? {}
    return { type: 'sealed', tenant, correlationid }
  }

  #postponed(
    pending: PendingEvent,
    reason: string,
    until = nextTryAt(pending, Date.now(), Math.random),
  ): Store {
    logFault('an event was not delivered; it will be tried again', new Error(reason))
    return () => this.#ledger.postponeEvent(pending, until)
  }

  /** Puts an event into the operators' list of dead letters; a failure is tried again later. */
  async #bury(pending: PendingDelivery, event: CloudEvent | null, death: Death): Promise<Store> {
    try {
      const letter = this.#toLetter(pending, event, death)
      const burying = letter.then((made) => this.#directory.bury(made))
      await inTime(burying, DIRECTORY_LIMIT_MS)
      return () => this.#ledger.deleteEvent(pending)
    } catch (error) {
      logFault('a dead letter could not be kept', error)
      return this.#postponed(pending, death.reason)
    }
  }

  /** An event that cannot be opened is kept sealed: it opens once its secret is restored. */
  async #toLetter(
    pending: PendingDelivery,
    event: CloudEvent | null,
    { reason, attempts }: Death,
  ): Promise<DeadLetter> {
    const { operationId, recipient } = pending
    const id = toLetterId(this.#env, pending, event)
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
   * Puts an operation on the operators' list if its record says now that the outcome is unknown,
   * else takes it off.
   */
  async #notify(pending: PendingEvent): Promise<Store> {
    try {
      await inTime(this.#list(pending.operationId), DIRECTORY_LIMIT_MS)
      return () => this.#ledger.deleteEvent(pending)
    } catch (error) {
      logFault("the operator's list was not brought up to date", error)
      return this.#postponed(pending, 'the directory did not answer')
    }
  }

  async #list(operationId: string): Promise<void> {
    const record = this.#ledger.find(operationId)
    const doubt = doubtOf(record)
    const directory = this.#directory
    this.#saidAt = Math.max(Date.now(), this.#saidAt + 1)
    if (record === null || doubt === null) return directory.unlist(operationId, this.#saidAt)
    const { tenant, operation, correlationId } = record
    const { name = operationId } = this.#id
    const object = name === operationId ? {} : { object: name }
    const entry = { operationId, tenant, operation, correlationId, ...doubt, ...object }
    return directory.list(entry, this.#saidAt)
  }
}

function send(env: HapaxEnv, recipient: Destination, event: CloudEvent): Promise<DeliveryEnd> {
  const attributes = { 'hapax.event_id': event.id, 'hapax.correlation_id': event.correlationid }
  return traced('hapax deliver', attributes, () => deliver(env, recipient, event))
}

const encode = (event: CloudEvent) =>
  new Uint8Array(new TextEncoder().encode(JSON.stringify(event)))

/** Id of a dead letter: one event may become one for each recipient. */
function toLetterId(
  env: HapaxEnv,
  { operationId, recipient, bytes }: PendingEvent,
  event: CloudEvent | null,
): string {
  const digest = createDigest(env.HAPAX_DIGEST_KEY)
  const to = JSON.stringify(recipient)
  return event === null
    ? digest('dead letter', operationId, to, bytes)
    : digest('dead letter', event.id, to)
}
