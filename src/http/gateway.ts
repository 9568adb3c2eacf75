import { Hono, type MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'

import { readCorrelation } from '../core/correlation.ts'
import { createDigests } from '../core/digest.ts'
import { logFault } from '../metrics/log.ts'
import { authenticated } from './authenticated.ts'
import { collapsePatterns } from './collapse-patterns.ts'
import type { GatewayEnv, TenantResolver } from './gateway-env.ts'
import { keepBody } from './kept-body.ts'
import { operations } from './operations.ts'
import { keepApart } from './operators-host.ts'
import { passThrough } from './pass-through.ts'
import { problemPages } from './problem-pages.ts'
import { refuseUrl } from './refuse-url.ts'
import { matchedPathOf } from './request-url.ts'
import { isReserved, reserve } from './reserved-paths.ts'
import { firstOf } from './tenants.ts'
import { contractOf, serveContract } from './well-known.ts'

/** What a gateway needs to be told. */
export interface GatewayOptions {
  /**
   * Tells whose a request is; of a list, the first that can tell. There is no default: a shared
   * tenant would replay one party's answers to another.
   */
  readonly tenant: TenantResolver | readonly TenantResolver[]
  /**
   * Verifies the caller before it is asked who that is, as `jwt`, `jwk` or Cloudflare Access do, on
   * protected routes and on `/_hapax/operations`, which no middleware of the app comes before. Whom
   * it does not let in is told 401; where it breaks, as without the keys of the issuer, 503.
   */
  readonly authenticate?: MiddlewareHandler
  /**
   * Lets scripts of other origins read answers, as `hono/cors` does: before every route of the app,
   * and before `/_hapax/operations` and the pages of problems, which no middleware of the app comes
   * before. Not before what is for operators.
   */
  readonly cors?: MiddlewareHandler
}

/**
 * Creates a gateway: a Hono app whose routes may be protected with `protect` and `idempotent`,
 * and that hands everything else to the origin untouched.
 *
 * @throws {Error} When `tenant` is not a function.
 * @example const app = createGateway({ tenant: credential('Authorization') })
 */
export function createGateway(options: GatewayOptions): Hono<GatewayEnv> {
  const resolvers = [options?.tenant ?? []].flat()
  if (resolvers.length === 0 || resolvers.some((resolver) => typeof resolver !== 'function')) {
    throw new TypeError("createGateway needs a tenant, such as credential('Authorization').")
  }
  const identify = authenticated(options.authenticate, firstOf(resolvers))
  const digestOf = createDigests()
  const app = new Hono<GatewayEnv>({ getPath: matchedPathOf })
  collapsePatterns(app.router)
  const cors = options.cors ?? ((_, next) => next())
  app.use(async function scope(c, next) {
    c.set('hapax', {
      startedAt: Date.now(),
      correlation: readCorrelation(c.req.raw.headers, () => crypto.randomUUID()),
      digest: digestOf(c.env.HAPAX_DIGEST_KEY),
      identify,
    })
    keepBody(c)
    await next()
  })
  app.use(refuseUrl(cors))
  app.use(keepApart)
  app.use('/_hapax/problems/*', cors)
  app.use('/_hapax/operations/*', cors)
  app.route('/_hapax/problems', problemPages)
  app.route('/_hapax/operations', operations)
  app.get('/.well-known/idempotency', (c) => serveContract(c, contractOf(app.routes)))
  app.all('/.well-known/idempotency', (c) => c.text('Not found', 404))
  app.use((c, next) => (isReserved(c.req.path) ? next() : cors(c, next)))
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
