import { env as deployed } from 'cloudflare:workers'
import type { Hono } from 'hono'

import { deployedSigners, deployPolicies, deployRoutes } from './config/deployed-policies.ts'
import type { HapaxEnv } from './config/env.ts'
import { listMalformed } from './config/malformed.ts'
import type { GatewayEnv } from './http/gateway-env.ts'
import { checkPolicies, findGuarded, guardedRoutes } from './http/route-policy.ts'
import { logFault } from './metrics/log.ts'
import { attachConsumers, type QueueHandler } from './queue/consumer-registry.ts'

/** Options of a Worker. */
export interface WorkerOptions {
  /** `consume(…)`, or any `queue()` handler: one for all queues of `wrangler.toml`, or one for each by the name of the queue. */
  readonly queue?: QueueHandler | Readonly<Record<string, QueueHandler>>
}

/**
 * Creates the Worker of a gateway. Malformed secrets and variables are logged, and everything that
 * does not need them works.
 *
 * @throws {Error} At start, if a policy is invalid. The message names all routes and fields.
 * @example export default createWorker(app)
 */
export function createWorker(
  app: Hono<GatewayEnv>,
  { queue }: WorkerOptions = {},
): ExportedHandler<HapaxEnv> {
  checkPolicies(app.routes)
  deployPolicies(guardedRoutes(app.routes))
  deployRoutes((method, path) => findGuarded(app, method, path))
  const consumerOf = attachConsumers(app, queue)
  sayMalformed(deployed)
  // The platform keeps logs of events only, not of the start, so the first event logs it again.
  let isSaid = false
  const sayOnce = (env: HapaxEnv) => {
    if (!isSaid) sayMalformed(env)
    isSaid = true
  }
  return {
    fetch(request, env, ctx) {
      sayOnce(env)
      return app.fetch(request, env, ctx)
    },
    queue: async (batch, env, ctx) => {
      sayOnce(env)
      const consumer = consumerOf(batch.queue)
      if (consumer === undefined) throw new Error(`Nothing consumes the queue ${batch.queue}.`)
      await consumer(batch, env, ctx)
    },
  }
}

function sayMalformed(env: HapaxEnv): void {
  for (const what of listMalformed(env, deployedSigners()))
    logFault('a setting is malformed', new Error(what))
}
