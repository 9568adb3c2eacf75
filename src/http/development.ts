import type { Context } from 'hono'

import { isLoopback } from '../core/request/loopback.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** Cloudflare sets it on every request from outside, and no development server does. */
const DEPLOYED = 'CF-Ray'

/** A proxy sets them: the server is then not only for its developer. */
const PROXIED = ['Forwarded', 'X-Forwarded-For', 'Via']

/** Whether a request has come through Cloudflare to a deployed Worker. */
export function isDeployed({ req }: Context): boolean {
  return req.raw.headers.has(DEPLOYED)
}

/** Whether the messages of errors may be logged. */
export function showsErrors(c: Context<GatewayEnv>): boolean {
  return c.env.HAPAX_LOG_ERRORS === 'true' || isDevelopment(c)
}

/** Whether a request has come to a development server, which only its developer uses. */
function isDevelopment({ req }: Context): boolean {
  const { headers, url, cf } = req.raw
  // Another Worker has made it for a service binding, and its URL can have any host.
  if (cf === undefined) return false
  if ([DEPLOYED, ...PROXIED].some((name) => headers.has(name))) return false
  return isLoopback(new URL(url).hostname)
}
