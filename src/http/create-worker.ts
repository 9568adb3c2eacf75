import type { Hono } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { checkPolicies } from './route-policy.ts'

/**
 * Makes the Worker of a gateway.
 *
 * @throws {Error} At start, naming every route whose policy is not valid and every wrong field.
 * @example export default createWorker(app)
 */
export function createWorker(app: Hono<GatewayEnv>): ExportedHandler<HapaxEnv> {
  checkPolicies(app.routes)
  return { fetch: (request, env, ctx) => app.fetch(request, env, ctx) }
}
