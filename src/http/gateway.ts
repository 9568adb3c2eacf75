import type { Env, Hono, MiddlewareHandler } from 'hono'

import type { GatewayEnv, HapaxVariables } from './gateway-env.ts'
import { type GatewayOptions, readOptions } from './gateway-options.ts'
import { createApp } from './normalized-url.ts'
import { unprotectedContext } from './operation-context.ts'
import { addOwnRoutes } from './own-routes.ts'
import { passThrough } from './pass-through.ts'
import { keepBody } from './payload.ts'
import { refuseUrl, whyRefused } from './refuse-url.ts'
import { isAnswer, reportError } from './report-error.ts'
import { openScope } from './request-scope.ts'
import { isApart, isReserved, reserve } from './reserved-paths.ts'
import { contractOf, markEntry } from './well-known.ts'

/**
 * Creates a gateway: a Hono app whose routes you protect with `protect` and `idempotent`. It forwards
 * all other requests to the origin unchanged.
 *
 * @throws {TypeError} When `tenant` is not a function, or another option is invalid.
 * @example const app = createGateway({ tenant: credential('Authorization') })
 */
export function createGateway<E extends Env = GatewayEnv>(
  options: GatewayOptions<NoInfer<E>>,
): Hono<E & HapaxVariables> {
  const given = readOptions('createGateway', options)
  const app = createApp()
  const cors: MiddlewareHandler = options.cors ?? ((_, next) => next())
  // One step for every request: most of them only pass through, and each step costs time.
  app.use(
    markEntry<MiddlewareHandler<GatewayEnv>>(async function enter(c, next) {
      openScope(c, given)
      c.set('hapax', unprotectedContext(c))
      keepBody(c)
      const because = whyRefused(c)
      if (because !== null) return refuseUrl(c, cors, because)
      return isApart(c) ? c.text('Not found', 404) : next()
    }),
  )
  app.use('/_hapax/problems/*', cors)
  app.use('/_hapax/operations/*', cors)
  addOwnRoutes(app, () => contractOf(app.routes))
  if (options.cors !== undefined) {
    app.use((c, next) => (isReserved(c.req.path) ? next() : cors(c, next)))
  }
  app.use('/_hapax/*', reserve)
  app.notFound(passThrough)
  app.onError((error, c) => {
    reportError(c, error)
    if (isAnswer(error)) return error.getResponse()
    return c.text('Internal Server Error', 500)
  })
  return app as unknown as Hono<E & HapaxVariables>
}
