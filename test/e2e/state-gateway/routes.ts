import { env } from 'cloudflare:workers'
import type { Hono } from 'hono'

import { emit, type GatewayEnv, idempotent, probe, protect, webhook } from '../../../src/hapax.ts'

const hook = (name: string) => webhook(`${env.ORIGIN_URL}/hooks/${name}`)

/** Everything is sealed where the deployment has a secret. */
const kept = {
  retention: '365d',
  snapshot: { seal: Reflect.has(env, 'HAPAX_SEAL_KEY') },
} as const
const seldom = { attempts: 100, base: '1m', cap: '1m' } as const

/** Adds a route for each state. They must mean the same in every version that has written fixtures. */
export function addRoutes(app: Hono<GatewayEnv>): void {
  app.post('/kept/:case', protect(kept))
  app.post('/brief/:case', protect({ ...kept, retention: '1m', tombstone: '365d' }))
  app.post('/gone', protect({ ...kept, retention: '100ms', tombstone: '365d' }))
  app.post('/held/:case', protect(kept))
  app.post('/unlisted', protect(kept))
  app.post('/asked/:case', protect({ ...kept, unknown: probe('/status?key={key}', { grace: 0 }) }))
  app.post('/resent/:case', protect({ ...kept, unknown: 'resend' }))
  app.post('/half', protect({ ...kept, unknown: 'resend' }))
  app.post('/durable/:case', protect({ ...kept, unknown: 'resend', durable: true }))
  app.post('/handled/:case', idempotent(kept), (c) =>
    fetch(`${env.ORIGIN_URL}${c.req.path}`, { method: 'POST', body: '{}' }),
  )
  const told = [{ on: 'succeeded', to: hook('told'), retry: seldom }] as const
  app.post('/told', protect({ ...kept, events: [...told] }))
  app.post(
    '/emitted',
    idempotent({ ...kept, events: [{ on: 'succeeded', to: hook('emitted'), retry: seldom }] }),
    (c) => {
      emit(c, { type: 'report.requested', data: { report: 1 }, to: hook('emitted') })
      return c.json({ report: 1 }, 202)
    },
  )
}
