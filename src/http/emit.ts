import type { Context } from 'hono'

import {
  type Destination,
  type EmittedEvent,
  MAX_EVENT_BYTES,
  toEmitted,
  toEventId,
} from '../core/event.ts'
import type { ClaimRef } from '../core/record.ts'
import type { Outgoing } from '../durable/operation-guard.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** What the handlers of requests under way have emitted so far. */
const emitted = new WeakMap<object, EmittedEvent[]>()

/** Lets the handlers of a request emit events. */
export function openOutbox(c: Context): void {
  emitted.set(c.req, [])
}

/**
 * Adds an event to what the operation leaves. It is stored in the same transaction as the handler's
 * answer, and delivered at least once after that; where there is no answer to be stored, since the
 * handler threw or its outcome is `not_executed`, there is no event either.
 *
 * @throws {TypeError} When the event is not one, its data is not JSON, or it is larger than a message
 *   of Queues may be.
 * @throws {Error} When no `idempotent` stands before the handler.
 * @example emit(c, { type: 'report.requested', data: { id }, to: queue('REPORTS') })
 */
export function emit(c: Context, event: EmittedEvent): void {
  const events = emitted.get(c.req)
  if (events === undefined) throw new Error('emit() is for handlers behind idempotent().')
  events.push(checked(event))
}

/** What is delivered is what JSON makes of it here: nothing that the handler does later changes it. */
function checked({ type, to, data, subject }: EmittedEvent): EmittedEvent {
  if (typeof type !== 'string' || type === '') {
    throw new TypeError("An event needs a type, such as 'report.requested'.")
  }
  if (subject !== undefined && (typeof subject !== 'string' || subject === '')) {
    throw new TypeError('The subject of an event is a text that is not empty.')
  }
  const json = JSON.stringify({ type, to: checkedDestination(to), data, subject }, requireJson)
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

/** Refuses what JSON would lose without a word. What is `undefined` is left out, as everywhere. */
function requireJson(_: string, value: unknown): unknown {
  const isLost =
    ['bigint', 'function', 'symbol'].includes(typeof value) ||
    (typeof value === 'number' && !Number.isFinite(value)) ||
    value instanceof Map ||
    value instanceof Set
  if (isLost) throw new TypeError("An event's data must be JSON.")
  return value
}

/** Takes what was emitted for a claim, as it will be delivered. */
export function takeEmitted(c: Context<GatewayEnv>, claim: ClaimRef, tenant: string): Outgoing[] {
  const events = emitted.get(c.req) ?? []
  emitted.delete(c.req)
  const now = Date.now()
  return events.map((event, index) => ({
    event: toEmitted(
      event,
      toEventId(claim, String(index + 1)),
      { ...c.var.hapax.correlation, tenant },
      now,
    ),
    to: event.to,
  }))
}
