/** Hapax as a deployment without operators has it. */
import type { Context } from 'hono'

import {
  createGateway,
  createWorker,
  credential,
  type GatewayEnv,
  idempotent,
  protect,
} from '../../src/hapax.ts'
import { placement } from './placement.ts'

export { DirectoryObject, IdempotencyObject } from '../../src/hapax.ts'

const app = createGateway({ tenant: credential('Authorization'), placement })
app.post('/payments', protect())
app.post('/slow-payments', protect())

const callOrigin = async (c: Context<GatewayEnv>) =>
  fetch(`${c.env.ORIGIN_URL}/payments`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: await c.req.arrayBuffer(),
  })
app.post('/handled', idempotent(), callOrigin)
app.post('/plain', callOrigin)

const worker = createWorker(app)

/** The platform writes data points by itself. A bound service in its place would cost a call. */
const METRICS: AnalyticsEngineDataset = { writeDataPoint() {} }
let bound: GatewayEnv['Bindings'] | undefined

const fetched: ExportedHandlerFetchHandler<GatewayEnv['Bindings']> = (request, env, ctx) => {
  bound ??= { ...env, METRICS }
  return worker.fetch?.(request, bound, ctx) ?? new Response(null, { status: 500 })
}

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default { fetch: fetched }
