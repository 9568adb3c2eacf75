import type { Context } from 'hono'

import { type EmittedEvent, MAX_EVENT_BYTES, toEmitted, toEventId } from '../core/event.ts'
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
 * @throws {TypeError} When the event is not one, or is larger than a message of Queues may be.
 * @throws {Error} When no `idempotent` stands before the handler.
 * @example emit(c, { type: 'report.requested', data: { id }, to: queue('REPORTS') })
 */
export function emit(c: Context, event: EmittedEvent): void {
  const events = emitted.get(c.req)
  if (events === undefined) throw new Error('emit() is for handlers behind idempotent().')
  events.push(checked(event))
}

function checked(event: EmittedEvent): EmittedEvent {
  if (typeof event.type !== 'string' || event.type === '') {
    throw new TypeError("An event needs a type, such as 'report.requested'.")
  }
  const to = (event as Partial<EmittedEvent>).to?.to
  if (to !== 'queue' && to !== 'webhook') {
    throw new TypeError("An event goes to queue('BINDING') or webhook('https://…').")
  }
  const bytes = new TextEncoder().encode(JSON.stringify(event)).byteLength
  if (bytes > MAX_EVENT_BYTES) {
    const advice = 'Send where its data can be read instead.'
    throw new TypeError(`An event holds at most ${MAX_EVENT_BYTES} bytes of JSON. ${advice}`)
  }
  return structuredClone(event)
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
