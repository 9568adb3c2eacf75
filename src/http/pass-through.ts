import type { Context } from 'hono'

import { originOf } from '../origin/target.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { isTaken, restoreTaken } from './payload.ts'

/** Forwards a request to the origin and returns its answer, both unchanged, including streams, upgrades and redirects. */
export async function passThrough(c: Context<GatewayEnv>): Promise<Response> {
  const origin = originOf(c.env)
  if (origin === null) return new Response('Not found', { status: 404 })
  if (isTaken(c.req.raw)) await restoreTaken(c)
  const url = origin.urlOf(requestUrlOf(c).untouched)
  const { raw } = c.req
  // The platform's own request, which follows no redirects, can be sent on without a copy.
  if (!origin.isBound && raw.redirect === 'manual') return origin.fetch(url, raw)
  const outgoing = new Request(url, raw)
  // It names the gateway. `fetch` sets the origin's host, but not for a service binding.
  if (origin.isBound) outgoing.headers.delete('Host')
  return origin.fetch(outgoing, { redirect: 'manual' })
}
