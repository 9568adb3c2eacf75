import type { Context } from 'hono'

import type { GatewayEnv } from '../http/gateway-env.ts'
import { requestUrlOf } from '../http/normalized-url.ts'
import { fetchAsset } from './assets.ts'
import { refusal } from './refusal.ts'

/** The dashboard's build writes it there. */
const FILE = '/_hapax/dashboard/admin-openapi.json'

/**
 * Serves the OpenAPI document of the admin API. It is a static asset, because it would take 5 KiB of
 * every Worker with operators.
 */
export async function serveAdminDocument(c: Context<GatewayEnv>): Promise<Response> {
  const { ASSETS: assets } = c.env
  if (assets === undefined) {
    return refusal(c, 404, 'The document is a static asset, and this deployment binds no ASSETS.')
  }
  const found = await fetchAsset(assets, requestUrlOf(c).origin + FILE)
  if (found === null) {
    c.header('Retry-After', '5')
    return refusal(c, 503, 'The document could not be read. Try again.')
  }
  if (found.status !== 200) {
    return refusal(
      c,
      404,
      'The document is not among the static assets. Run npm run build:dashboard.',
    )
  }
  return c.body(await found.text(), 200, { 'Content-Type': 'application/json' })
}
