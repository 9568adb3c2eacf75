import type { Context } from 'hono'

import { originOf } from '../origin/target.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { restoreTaken } from './payload.ts'

/**
 * Hands a request to the origin untouched and its answer back as it comes: streams, upgrades to
 * WebSocket and redirects included.
 */
export async function passThrough(c: Context<GatewayEnv>): Promise<Response> {
  const origin = originOf(c.env)
  if (origin === null) return new Response('Not found', { status: 404 })
  await restoreTaken(c)
  const request = new Request(origin.urlOf(requestUrlOf(c).untouched), c.req.raw)
  const outgoing = new Request(request, { redirect: 'manual' })
  // Of the gateway's own; `fetch` writes the origin's, but not to a service binding.
  outgoing.headers.delete('Host')
  return origin.fetch(outgoing)
}
