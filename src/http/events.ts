import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { textOf } from '../config/env.ts'
import type { Policy } from '../config/policy.ts'
import { type Destination, secretsOf } from '../core/destination.ts'
import type { EventRule } from '../core/event.ts'
import type { GatewayEnv } from './gateway-env.ts'

/**
 * Which events the operations of a route leave.
 *
 * @throws {ConfigurationFault} When the deployment could not deliver them.
 */
export function eventsOf(c: Context<GatewayEnv>, { events }: Policy): readonly EventRule[] {
  for (const { to } of events) requireDestination(c, to)
  return events
}

function requireDestination(c: Context<GatewayEnv>, to: Destination): void {
  if (to.to === 'queue') {
    const producer = Reflect.get(c.env, to.binding) as Queue | undefined
    if (typeof producer?.send === 'function') return
    throw new ConfigurationFault(`A route with events needs a queue binding ${to.binding}.`)
  }
  const missing = secretsOf(to).find((name) => textOf(c.env, name) === null)
  if (missing === undefined) return
  throw new ConfigurationFault(`A route with a webhook needs the secret ${missing}.`)
}
