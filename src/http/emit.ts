import type { Context } from 'hono'

import { type EmittedEvent, toEmitted, toEventId, toSendable } from '../core/event.ts'
import type { Outgoing } from '../core/operation-guard.ts'
import type { ClaimRef } from '../core/record.ts'
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
  events.push(toSendable(event))
}

/** Whether there is anything to take. */
export function hasEmitted(c: Context): boolean {
  return (emitted.get(c.req)?.length ?? 0) > 0
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
