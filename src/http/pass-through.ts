import type { Context } from 'hono'

import { originOf, pathOf } from '../origin/target.ts'
import type { GatewayEnv } from './gateway-env.ts'

/**
 * Hands a request to the origin untouched and its answer back as it comes: streams, upgrades to
 * WebSocket and redirects included.
 */
export function passThrough(c: Context<GatewayEnv>): Response | Promise<Response> {
  const origin = originOf(c.env)
  if (origin === null) return new Response('Not found', { status: 404 })
  const request = new Request(origin.urlOf(pathOf(c.req.raw.url)), c.req.raw)
  return origin.fetch(new Request(request, { redirect: 'manual' }))
}
