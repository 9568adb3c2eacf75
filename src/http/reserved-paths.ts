import type { MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'

import type { GatewayEnv } from './gateway-env.ts'

/** Whether a path is one of Hapax itself: never one of the origin, nor of the app's own routes. */
export const isReserved = (path: string) => /^\/_hapax(?:\/|$)/.test(path)

/**
 * Answers 404 to a reserved path, unless the next handler belongs to an app that is mounted at
 * `/_hapax`. So neither a catch-all route nor the origin ever gets such a request.
 */
export const reserve: MiddlewareHandler<GatewayEnv> = async function reserve(c, next) {
  const following = matchedRoutes(c)[c.req.routeIndex + 1]
  return following && isReserved(following.basePath) ? next() : c.text('Not found', 404)
}
