import type { Context } from 'hono'

import type { GatewayEnv } from '../http/gateway-env.ts'
import { requestUrlOf } from '../http/request-url.ts'
import { hasOperators } from './authenticate.ts'

const PAGE = '/_hapax/dashboard'

/** Nothing from elsewhere, nothing inline but the styles that a chart sets on its own elements. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "style-src-attr 'unsafe-inline'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  // What the page shows is text: nothing of it can become markup or code.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/**
 * Serves the page of the operators. It holds no figures: those it asks from the admin API, with the
 * operator's own token. Where there is no admin API there is no page.
 */
export async function serveDashboard(c: Context<GatewayEnv>): Promise<Response> {
  const { ASSETS: assets } = c.env
  if (assets === undefined || !hasOperators(c.env)) return c.text('Not found', 404)
  const { origin, path: asked } = requestUrlOf(c)
  const path = asked === PAGE ? `${PAGE}/` : asked
  const found = await assets.fetch(new Request(origin + path))
  if (found.status !== 200) return c.text('Not found', 404)
  const response = new Response(found.body, found)
  const { headers } = response
  headers.set('Content-Security-Policy', POLICY)
  headers.set('X-Content-Type-Options', 'nosniff')
  headers.set('Referrer-Policy', 'no-referrer')
  // A page that has opened this one, of the same origin even, gets no hold of its window.
  headers.set('Cross-Origin-Opener-Policy', 'same-origin')
  headers.set('Cross-Origin-Resource-Policy', 'same-origin')
  const isPage = path.endsWith('/')
  // The name of every other file says which version it is.
  headers.set('Cache-Control', isPage ? 'no-cache' : 'public, max-age=31536000, immutable')
  return response
}
