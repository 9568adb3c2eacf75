import { toLosslessJson } from './lossless-json.ts'
import type { ClaimRef, OperationRecord } from './record.ts'
import type { RetryPolicy } from './retry.ts'
import { toTime } from './time.ts'

/** Where events go: to a queue of this Worker, by the name of its binding, or to a URL. */
export type Destination =
  | { readonly to: 'queue'; readonly binding: string }
  | { readonly to: 'webhook'; readonly url: string }

/**
 * Events go to a queue.
 *
 * @param binding Name of the producer binding, as in `wrangler.toml`.
 * @example protect({ events: [{ on: 'succeeded', to: queue('OUTBOX') }] })
 */
export function queue(binding: string): Destination {
  return { to: 'queue', binding }
}

/**
 * Events go to a URL by POST, signed as the Standard Webhooks specification says with the secret
 * `HAPAX_WEBHOOK_SECRET`.
 *
 * @example protect({ events: [{ on: 'succeeded', to: webhook('https://shop.example/hooks') }] })
 */
export function webhook(url: string): Destination {
  return { to: 'webhook', url }
}

/** States of an operation that an event may tell of. */
export const EVENT_STATES = ['succeeded', 'failed', 'unknown'] as const
export type EventState = (typeof EVENT_STATES)[number]

/** Which events an operation leaves, and how hard their delivery is tried. Kept in its record. */
export interface EventRule {
  readonly on: readonly EventState[]
  readonly to: Destination
  readonly retry: DeliveryRetry
}

/** How a delivery that has failed is tried again: the one retry policy, without what only calls need. */
export type DeliveryRetry = Pick<RetryPolicy, 'attempts' | 'baseMs' | 'capMs'>

/** An hour or so of tries, ever more seldom. */
export const DELIVERY_RETRY: DeliveryRetry = { attempts: 12, baseMs: 1_000, capMs: 600_000 }

/** An event that a handler adds to what its operation leaves. */
export interface EmittedEvent {
  /** CloudEvents `type`, such as `report.requested`. */
  readonly type: string
  readonly to: Destination
  /** JSON. */
  readonly data?: unknown
  /** CloudEvents `subject`. */
  readonly subject?: string
}

/** An event as it is delivered: CloudEvents 1.0 in JSON, structured mode. */
export interface CloudEvent {
  readonly specversion: '1.0'
  /** Stable: every delivery of one event bears the same. */
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: string
  readonly subject?: string
  readonly datacontenttype?: 'application/json'
  readonly data?: unknown
  /** Extension attributes: what ties the event to the request that it comes from. */
  readonly correlationid: string
  /** Distributed Tracing extension. */
  readonly traceparent?: string
  readonly tenant: string
}

const SOURCE = '/hapax'

/** The largest event, in bytes of JSON: a message of Queues may hold 128 KB with what is added to it. */
const MAX_EVENT_BYTES = 122_880

/**
 * Checks an event, and takes what JSON makes of it: nothing that is done to it later changes it.
 *
 * @throws {TypeError} When it is no event, its data is not JSON, or it is too large.
 */
export function toSendable({ type, to, data, subject }: EmittedEvent): EmittedEvent {
  if (typeof type !== 'string' || type === '') {
    throw new TypeError("An event needs a type, such as 'report.requested'.")
  }
  if (subject !== undefined && (typeof subject !== 'string' || subject === '')) {
    throw new TypeError('The subject of an event is a text that is not empty.')
  }
  const json = toLosslessJson({ type, to: checkedDestination(to), data, subject })
  if (new TextEncoder().encode(json).byteLength > MAX_EVENT_BYTES) {
    const advice = 'Send where its data can be read instead.'
    throw new TypeError(`An event holds at most ${MAX_EVENT_BYTES} bytes of JSON. ${advice}`)
  }
  return JSON.parse(json) as EmittedEvent
}

/** Only what names a destination, always in the same order: events wait for each other by it. */
function checkedDestination(to: Destination): Destination {
  const { to: kind, binding, url } = (to ?? {}) as Record<string, unknown>
  if (kind === 'queue' && typeof binding === 'string' && binding !== '') {
    return { to: kind, binding }
  }
  const isUrl = typeof url === 'string' && /^https?:$/.test(URL.parse(url)?.protocol ?? '')
  if (kind === 'webhook' && isUrl) return { to: kind, url }
  throw new TypeError("An event goes to queue('BINDING') or webhook('https://…').")
}

/** What an event inherits from the request that it comes from. */
export interface EventOrigin {
  readonly correlationId: string
  readonly traceparent: string
  readonly tenant: string
}

/** Makes the CloudEvent of one that a handler has emitted. @param now Epoch milliseconds. */
export function toEmitted(
  { type, data, subject }: EmittedEvent,
  id: string,
  { correlationId, traceparent, tenant }: EventOrigin,
  now: number,
): CloudEvent {
  return {
    specversion: '1.0',
    id,
    source: SOURCE,
    type,
    time: toTime(now),
    ...(subject !== undefined && { subject }),
    ...(data !== undefined && { datacontenttype: 'application/json', data }),
    correlationid: correlationId,
    ...(traceparent !== '' && { traceparent }),
    tenant,
  }
}

/**
 * Names an event of a claim. The claim is part of it: a key that was forgotten begins again, and
 * what its second life leaves is another event.
 */
export function toEventId(
  { operationId, claimId }: Pick<ClaimRef, 'operationId' | 'claimId'>,
  which: string,
): string {
  return `${operationId}:${claimId}:${which}`
}

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
