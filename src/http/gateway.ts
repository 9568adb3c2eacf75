import type { Context, Hono, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'

import { deployPlacement } from '../config/deployed-placement.ts'
import type { PlacementOptions } from '../config/placement.ts'
import { createDigest, type Digest } from '../core/digest.ts'
import { type Correlation, readCorrelation } from '../core/request/correlation.ts'
import { logFault } from '../metrics/log.ts'
import { authenticated } from './authenticated.ts'
import type { GatewayEnv, Identify, RequestScope, TenantResolver } from './gateway-env.ts'
import { createApp } from './normalized-url.ts'
import { operationLookup } from './operation-lookup.ts'
import { passThrough } from './pass-through.ts'
import { keepBody } from './payload.ts'
import { problemPages } from './problem-pages.ts'
import { refuseUrl, whyRefused } from './refuse-url.ts'
import { isApart, isReserved, reserve } from './reserved-paths.ts'
import { firstOf } from './tenants.ts'
import { contractOf, serveContract } from './well-known.ts'

/** Options of a gateway. */
export interface GatewayOptions extends PlacementOptions {
  /**
   * Resolves the tenant of a request. Of a list, the first resolver that returns a tenant counts.
   * There is no default, because a shared tenant would replay one party's responses to another.
   */
  readonly tenant: TenantResolver | readonly TenantResolver[]
  /**
   * Verifies the caller before the tenant is resolved, such as `jwt`, `jwk` or Cloudflare Access. It
   * runs on protected routes and on `/_hapax/operations`. A caller that it rejects gets 401. If it
   * fails, for example because it cannot fetch the keys of the issuer, the response is 503.
   */
  readonly authenticate?: MiddlewareHandler
  /**
   * A CORS middleware, such as `hono/cors`. It runs before every route of the app, before
   * `/_hapax/operations` and before the problem pages. It does not run for operators' paths.
   */
  readonly cors?: MiddlewareHandler
}

/**
 * Creates a gateway: a Hono app whose routes you protect with `protect` and `idempotent`. It forwards
 * all other requests to the origin unchanged.
 *
 * @throws {TypeError} When `tenant` is not a function, or the placement or jurisdiction is invalid.
 * @example const app = createGateway({ tenant: credential('Authorization') })
 */
export function createGateway(options: GatewayOptions): Hono<GatewayEnv> {
  const resolvers = [options?.tenant ?? []].flat()
  if (resolvers.length === 0 || resolvers.some((resolver) => typeof resolver !== 'function')) {
    throw new TypeError("createGateway needs a tenant, such as credential('Authorization').")
  }
  deployPlacement(options)
  const identify = authenticated(options.authenticate, firstOf(resolvers))
  const app = createApp()
  const cors = options.cors ?? ((_, next) => next())
  // One step for every request: most of them only pass through, and each step costs time.
  app.use(async function enter(c, next) {
    c.set('hapax', openScope(c, identify))
    keepBody(c)
    const because = whyRefused(c)
    if (because !== null) return refuseUrl(c, cors, because)
    return isApart(c) ? c.text('Not found', 404) : next()
  })
  app.use('/_hapax/problems/*', cors)
  app.use('/_hapax/operations/*', cors)
  app.route('/_hapax/problems', problemPages)
  app.route('/_hapax/operations', operationLookup)
  app.get('/.well-known/idempotency', (c) => serveContract(c, contractOf(app.routes)))
  app.all('/.well-known/idempotency', (c) => c.text('Not found', 404))
  if (options.cors !== undefined) {
    app.use((c, next) => (isReserved(c.req.path) ? next() : cors(c, next)))
  }
  app.use('/_hapax/*', reserve)
  app.notFound(passThrough)
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse()
    // Its message is the handler's and may hold what must not be logged.
    logFault('a handler threw', new Error(error.name))
    return c.text('Internal Server Error', 500)
  })
  return app
}

function openScope({ env, req }: Context<GatewayEnv>, identify: Identify): RequestScope {
  const { headers } = req.raw
  let correlation: Correlation | undefined
  let digest: Digest | undefined
  // Requests that pass through need neither.
  return {
    startedAt: Date.now(),
    get correlation() {
      return (correlation ??= readCorrelation(headers, () => crypto.randomUUID()))
    },
    get digest() {
      return (digest ??= createDigest(env.HAPAX_DIGEST_KEY))
    },
    identify,
  }
}
