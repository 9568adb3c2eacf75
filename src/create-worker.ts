import { env as deployed } from 'cloudflare:workers'
import type { Env, Hono } from 'hono'

import { createClaims } from './claims/claims.ts'
import { originVariables } from './config/deployed-origins.ts'
import { deployedSigners, deployPolicies, deployRoutes } from './config/deployed-policies.ts'
import type { HapaxEnv } from './config/env.ts'
import { listMalformed } from './config/malformed.ts'
import { deployClaims } from './http/deployed-claims.ts'
import type { Any } from './http/gateway-env.ts'
import { checkPolicies, findGuarded, guardedRoutes } from './http/route-policy.ts'
import { noteApp } from './http/well-known.ts'
import { logFault } from './metrics/log.ts'
import { attachConsumers, type QueueHandler } from './queue/consumer-registry.ts'

/** The bindings of an app. */
type Bindings<E extends Env> = E extends { Bindings: infer bindings } ? bindings : Any

/** Options of a Worker. */
export interface WorkerOptions<B = Any> {
  /** `consume(…)`, or any `queue()` handler: one for all queues of `wrangler.toml`, or one for each by the name of the queue. */
  readonly queue?: QueueHandler | Readonly<Record<string, QueueHandler>>
  /** The `scheduled()` handler of the Worker, for Cron Triggers. */
  readonly scheduled?: ExportedHandlerScheduledHandler<B>
}

/** A Worker, with the handlers that it was given. */
export interface HapaxWorker<B = Any> {
  readonly fetch: (request: Request, env: B, ctx: ExecutionContext) => Promise<Response>
  readonly queue?: ExportedHandlerQueueHandler<B, Any>
  readonly scheduled?: ExportedHandlerScheduledHandler<B>
}

/** Apps whose routes are known to the objects already. */
const known = new WeakSet<object>()

/**
 * Creates the Worker of a gateway, or of any Hono app with protected routes. Malformed secrets and
 * variables are logged, and everything that does not need them works.
 *
 * @throws {Error} At start, if a policy is invalid. The message names all routes and fields.
 * @example export default createWorker(app)
 */
export function createWorker<E extends Env>(
  app: Hono<E, Any, Any>,
  { queue, scheduled }: WorkerOptions<Bindings<E>> = {},
): HapaxWorker<Bindings<E>> {
  deployApp(app)
  deployClaims(createClaims())
  const consumerOf = attachConsumers(app, queue)
  sayMalformed(deployed)
  // The platform keeps logs of events only, not of the start, so the first event logs it again.
  let isSaid = false
  const sayOnce = (env: HapaxEnv) => {
    if (!isSaid) sayMalformed(env)
    isSaid = true
  }
  const consume: ExportedHandlerQueueHandler<Any> = async (batch, env, ctx) => {
    sayOnce(env)
    const consumer = consumerOf(batch.queue)
    if (consumer === undefined) throw new Error(`Nothing consumes the queue ${batch.queue}.`)
    await consumer(batch, env, ctx)
  }
  return {
    async fetch(request, env, ctx) {
      sayOnce(env)
      noteApp(request, ctx, app)
      return app.fetch(request, env, ctx)
    },
    ...(queue !== undefined && { queue: consume }),
    ...(scheduled !== undefined && { scheduled }),
  }
}

/** Checks the policies of an app, and makes them known to the objects of this Worker. */
function deployApp(app: Hono<Any, Any, Any>): void {
  if (known.has(app)) return
  checkPolicies(app.routes)
  deployPolicies(guardedRoutes(app.routes))
  deployRoutes((method, path) => findGuarded(app, method, path))
  known.add(app)
}

function sayMalformed(env: HapaxEnv): void {
  for (const what of listMalformed(env, deployedSigners(), originVariables()))
    logFault('a setting is malformed', new Error(what))
}
