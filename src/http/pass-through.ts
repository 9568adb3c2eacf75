import type { Context } from 'hono'

import { originOf } from '../origin/find-origin.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { notConfigured, originLost } from './passing-failed.ts'
import { isTaken, restoreTaken } from './payload.ts'
import { refuseUrl, whyRefused } from './refuse-url.ts'
import { hasScope, openBareScope } from './request-scope.ts'
import { requireReachable } from './requirements.ts'
import { NOBODY } from './tenants.ts'

/** Forwards a request to the deployment's own origin, as `forwardTo` does. */
export const passThrough = (c: Context<GatewayEnv>): Promise<Response> => forwardTo(c)

/**
 * Forwards a request to an origin and returns its answer, both unchanged, including streams, upgrades
 * and redirects.
 *
 * @param name One of the deployment's `origins`; without it, the deployment's own.
 */
export async function forwardTo(c: Context<GatewayEnv>, name?: string): Promise<Response> {
  // A problem needs it. In an app of your own, `hapax` may be below another path.
  if (!hasScope(c)) openBareScope(c, async () => NOBODY)
  // A gateway has refused such a URL already.
  const because = whyRefused(c)
  if (because !== null) return refuseUrl(c, (_, next) => next(), because)
  return send(c, name).catch((error: unknown) => notConfigured(c, error))
}

async function send(c: Context<GatewayEnv>, name: string | undefined): Promise<Response> {
  const origin = originOf(c.env, name)
  if (origin === null) return new Response('Not found', { status: 404 })
  requireReachable(c, origin)
  const lost = (error: unknown) => originLost(c, error)
  if (isTaken(c.req.raw)) await restoreTaken(c)
  const url = origin.urlOf(origin.pathOf(requestUrlOf(c).untouched))
  const { raw } = c.req
  // The platform's own request, which follows no redirects, can be sent on without a copy.
  if (origin.isPlain && raw.redirect === 'manual') return origin.fetch(url, raw).catch(lost)
  const outgoing = new Request(url, raw)
  // It names the gateway. `fetch` sets the origin's host, but not for a service binding.
  if (!origin.isPlain) outgoing.headers.delete('Host')
  return origin.fetch(outgoing, { redirect: 'manual' }).catch(lost)
}
