import { env } from 'cloudflare:workers'

import {
  createGateway,
  credential,
  emit,
  idempotent,
  protect,
  webhook,
} from '../../../src/hapax.ts'
import { operators } from '../../../src/operators.ts'
import { placed } from '../gateway/placement.ts'

/** A path of the receiver. */
const hook = (path: string) => webhook(`${env.ORIGIN_URL}/hooks/${path}`)

export const app = createGateway({ tenant: credential('Authorization'), ...placed })
app.route('/_hapax', operators(app))

// Three events in a row to one receiver.
app.post('/reports', idempotent({ events: [{ on: 'succeeded', to: hook('reports') }] }), (c) => {
  emit(c, { type: 'report.requested', data: { report: 1 }, to: hook('reports') })
  emit(c, { type: 'report.filed', to: hook('reports') })
  return c.json({ report: 1 }, 202)
})

app.post('/orders', idempotent(), (c) => {
  emit(c, { type: 'report.requested', data: { report: 2 }, to: hook('inbox') })
  return c.json({ report: 2 }, 202)
})

const retry = { attempts: 3, base: '20ms', cap: '20ms' } as const
app.post('/payments', protect({ events: [{ on: 'succeeded', to: hook('moved'), retry }] }))

// The receiver puts what it gets into the queue.
app.post('/inbox', async (c) => {
  const { INBOX } = c.env as unknown as { readonly INBOX: Queue }
  await INBOX.send(await c.req.json())
  return c.body(null, 204)
})
