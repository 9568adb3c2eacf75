import type { Context } from 'hono'

import { originOf } from '../origin/target.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { restoreTaken } from './payload.ts'

/** Forwards a request to the origin and returns its answer, both unchanged, including streams, upgrades and redirects. */
export async function passThrough(c: Context<GatewayEnv>): Promise<Response> {
  const origin = originOf(c.env)
  if (origin === null) return new Response('Not found', { status: 404 })
  await restoreTaken(c)
  const request = new Request(origin.urlOf(requestUrlOf(c).untouched), c.req.raw)
  const outgoing = new Request(request, { redirect: 'manual' })
  // It names the gateway. `fetch` sets the origin's host, but not for a service binding.
  outgoing.headers.delete('Host')
  return origin.fetch(outgoing)
}
