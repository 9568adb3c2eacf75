import type { Context, Handler } from 'hono'

import type { GatewayEnv } from './gateway-env.ts'
import { forwardTo } from './pass-through.ts'
import { notePassing } from './route-policy.ts'

/**
 * Forwards requests to one of the deployment's `origins` and returns its answers, both unchanged,
 * including streams, upgrades and redirects. Nothing is protected.
 *
 * @param origin Its name. With an unknown one, the Worker does not start.
 * @example app.all('/crm/*', passTo('crm'))
 */
export function passTo(origin: string): Handler {
  return notePassing(async function passTo(c: Context<GatewayEnv>): Promise<Response> {
    return forwardTo(c, origin)
  }, origin)
}
