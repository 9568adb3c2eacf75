import { type Destination, toDestination } from './destination.ts'
import { toLosslessJson } from './json/lossless.ts'
import type { RetryPolicy } from './retry.ts'
import { toTime } from './time.ts'

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

function checkedDestination(to: unknown): Destination {
  const read = toDestination(to)
  if (read.ok) return read.value
  const form = "An event goes to queue('BINDING') or webhook('https://…')."
  throw new TypeError(`${form} Its destination: ${read.error}.`)
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
  { operationId, claimId }: { readonly operationId: string; readonly claimId: string },
  which: string,
): string {
  return `${operationId}:${claimId}:${which}`
}
