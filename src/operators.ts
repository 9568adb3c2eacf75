/** What a deployment imports for its operators: a gateway that does not, does not carry it. */
import { Hono } from 'hono'

import type { Any, GatewayEnv, HapaxVariables } from './http/gateway-env.ts'
import { contractOf, serveContract } from './http/well-known.ts'
import { createAdmin } from './operators/admin.ts'
import { serveDashboard } from './operators/dashboard.ts'
import { servePrometheus } from './operators/prometheus.ts'
import { toOpenApiFragment } from './operators/protected-openapi.ts'

/**
 * Creates the app for operators: admin API, dashboard, Prometheus figures and the OpenAPI document
 * of the protected routes. Mount it at `/_hapax`, right behind `createGateway`, or serve it from a
 * Worker of its own that has the same bindings.
 *
 * @param app The gateway whose routes are documented and whose consumers replay dead letters.
 * @example app.route('/_hapax', operators(app))
 */
export function operators(app: Hono<Any, Any, Any>): Hono<HapaxVariables> {
  const mounted = new Hono<GatewayEnv>()
  mounted.get('/openapi.json', (c) => serveContract(c, toOpenApiFragment(contractOf(app.routes))))
  mounted.route('/admin', createAdmin(app))
  mounted.get('/metrics', servePrometheus)
  mounted.get('/dashboard', serveDashboard)
  mounted.get('/dashboard/assets/*', serveDashboard)
  return mounted as unknown as Hono<HapaxVariables>
}
