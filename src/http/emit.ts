import type { Context, Next } from 'hono'

import type { Destination } from '../core/event/destination.ts'
import {
  type CloudEvent,
  type EmittedEvent,
  toEmitted,
  toEventId,
  toSendable,
} from '../core/event/event.ts'
import type { Outgoing } from '../core/operation/operation-guard.ts'
import type { ClaimRef } from '../core/operation/record.ts'
import { logFault } from '../metrics/log.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { deliver } from '../outbox/delivery.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { keepAlive } from './keep-alive.ts'
import { scopeOf } from './request-scope.ts'

/** Events of the running handlers. */
const emitted = new WeakMap<object, EmittedEvent[]>()

/** Lets the handlers of a request emit events. */
export function openOutbox(c: Context): void {
  emitted.set(c.req, [])
}

/**
 * Emits an event of the operation. It is stored in the same transaction as the handler's response,
 * and then delivered at least once. If there is no response to store, because the handler threw or
 * its outcome is `not_executed`, the event is dropped.
 *
 * @throws {TypeError} If the event is malformed, its data is not JSON, or it exceeds the size of a
 *   Queues message.
 * @throws {Error} If no `idempotent` precedes the handler.
 * @example emit(c, { type: 'report.requested', data: { id }, to: queue('REPORTS') })
 */
export function emit(c: Context, event: EmittedEvent): void {
  const events = emitted.get(c.req)
  if (events === undefined) throw new Error('emit() is for handlers behind idempotent().')
  events.push(toSendable(event))
}

/** Takes the events that were emitted for a claim, ready for delivery. */
export function takeEmitted(c: Context<GatewayEnv>, claim: ClaimRef, tenant: string): Outgoing[] {
  const events = emitted.get(c.req) ?? []
  emitted.delete(c.req)
  const now = Date.now()
  return events.map((event, index) => ({
    event: toEmitted(
      event,
      toEventId(claim, String(index + 1)),
      { ...scopeOf(c).correlation, tenant },
      now,
    ),
    to: event.to,
  }))
}

/** Runs handlers without a record. There is no outbox then, so each event is delivered at most once. */
export async function runUnrecorded(c: Context<GatewayEnv>, next: Next): Promise<void> {
  openOutbox(c)
  await next()
  if (c.error !== undefined) return
  const claim = { operationId: crypto.randomUUID(), fence: 1, claimId: crypto.randomUUID() }
  const tenant = emitted.get(c.req)?.length ? await tenantOf(c) : ''
  for (const { event, to } of takeEmitted(c, claim, tenant)) {
    keepAlive(c, deliverUnrecorded(c, to, event))
  }
}

/** The tenant of the request, or an empty string: an unprotected request is never rejected for that. */
async function tenantOf(c: Context<GatewayEnv>): Promise<string> {
  try {
    const identity = await scopeOf(c).identify(c)
    return identity.kind === 'known' ? identity.tenant : ''
  } catch {
    return ''
  }
}

async function deliverUnrecorded(
  c: Context<GatewayEnv>,
  to: Destination,
  event: CloudEvent,
): Promise<void> {
  const startedAt = Date.now()
  const end = await deliver(c.env, to, event)
  const status = end.kind === 'delivered' ? 'delivered' : 'dead'
  recordDelivery(c.env, { event, operationId: null, status, failures: 0, startedAt })
  if (end.kind !== 'delivered') logFault('an event was not delivered', new Error(end.reason))
}
