import type { Context } from 'hono'

import { isJson, parseMediaType } from '../core/media-type.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { requestUrlOf } from '../http/normalized-url.ts'
import { bearerOf } from './authenticate.ts'

/**
 * Whether a page of another site has made a browser send this. Cloudflare Access lets in whatever
 * comes with the browser's cookie, so who the operator is says nothing about that.
 *
 * Browsers say it in `Sec-Fetch-Site`; those that are too old for it name in `Origin` who changes
 * something, and `null` where they would rather not. A client that is no browser says neither.
 */
export function isFromOtherSite(c: Context<GatewayEnv>): boolean {
  const site = c.req.header('Sec-Fetch-Site')
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const origin = c.req.header('Origin')
  return origin !== undefined && origin !== requestUrlOf(c).origin
}

/**
 * Whether a page of another site could have made a browser send this without being asked first
 * whether it may: forms and simple requests bear no JSON, and no bearer token.
 */
export function isLikeForm(c: Context<GatewayEnv>): boolean {
  if (bearerOf(c) !== null) return false
  const field = c.req.header('Content-Type')
  if (field === undefined) return Number(c.req.header('Content-Length') ?? 0) > 0
  const type = parseMediaType(field)
  return type === undefined || !isJson(type)
}
