import type { Context } from 'hono'

import { isJson, parseMediaType } from '../core/wire/media-type.ts'
import { bearerOf } from '../http/bearer-token.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { requestUrlOf } from '../http/normalized-url.ts'

/**
 * Whether a page of another site has made a browser send this. Cloudflare Access lets in every
 * request with the browser's cookie, so a known operator proves nothing.
 *
 * Browsers say it in `Sec-Fetch-Site`. Older ones send the page's site, or `null`, in `Origin` with a
 * change. Other clients send neither.
 */
export function isFromOtherSite(c: Context<GatewayEnv>): boolean {
  const site = c.req.header('Sec-Fetch-Site')
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const origin = c.req.header('Origin')
  return origin !== undefined && origin !== requestUrlOf(c).origin
}

/**
 * Whether a page of another site could have made a browser send this without a preflight request:
 * forms and simple requests have no JSON and no bearer token.
 */
export function isLikeForm(c: Context<GatewayEnv>): boolean {
  if (bearerOf(c) !== null) return false
  const field = c.req.header('Content-Type')
  if (field === undefined) return Number(c.req.header('Content-Length') ?? 0) > 0
  const type = parseMediaType(field)
  return type === undefined || !isJson(type)
}
