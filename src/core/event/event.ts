import { toLosslessJson } from '../json/lossless.ts'
import type { RetryPolicy } from '../retry/retry.ts'
import { toTime } from '../time.ts'
import { type Destination, toDestination } from './destination.ts'

/** States of an operation for which there are events. */
export const EVENT_STATES = ['succeeded', 'failed', 'unknown'] as const
export type EventState = (typeof EVENT_STATES)[number]

/** Which events an operation sends, and how their delivery is retried. Stored in its record. */
export interface EventRule {
  readonly on: readonly EventState[]
  readonly to: Destination
  readonly retry: DeliveryRetry
}

/** How a failed delivery is retried. */
export type DeliveryRetry = Pick<RetryPolicy, 'attempts' | 'baseMs' | 'capMs'>

/** About an hour of attempts, less and less often. */
export const DELIVERY_RETRY: DeliveryRetry = { attempts: 12, baseMs: 1_000, capMs: 600_000 }

/** An event that a handler sends with its operation. */
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
  /** The same in every delivery of the event. */
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: string
  readonly subject?: string
  readonly datacontenttype?: 'application/json'
  readonly data?: unknown
  /** Extension attributes: they link the event to its request. */
  readonly correlationid: string
  /** Distributed Tracing extension. */
  readonly traceparent?: string
  readonly tenant: string
}

const SOURCE = '/hapax'

/** The largest event, in bytes of JSON. A message of Queues is limited to 128 KB, envelope included. */
const MAX_EVENT_BYTES = 122_880

/**
 * Checks an event and copies it through JSON, so that later changes do not affect it.
 *
 * @throws {TypeError} If it is no event, its data is not JSON, or it is too large.
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

/** What an event inherits from its request. */
export interface EventOrigin {
  readonly correlationId: string
  readonly traceparent: string
  readonly tenant: string
}

/** Makes a CloudEvent. @param now Epoch milliseconds. */
export function toEmitted(
  { type, data, subject }: Omit<EmittedEvent, 'to'>,
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
 * Names an event of a claim. A forgotten key can be used again, and the events of its second
 * operation are other events, so the claim is part of the name.
 */
export function toEventId(
  { operationId, claimId }: { readonly operationId: string; readonly claimId: string },
  which: string,
): string {
  return `${operationId}:${claimId}:${which}`
}
