import { createExecutionContext } from 'cloudflare:test'
import { env, withEnv } from 'cloudflare:workers'
import { afterEach, expect, it, type MockInstance, vi } from 'vitest'

import { createGateway, createWorker, credential, protect, webhook } from '../../src/hapax.ts'

const VALUE = 'whsec_no-base-64!'
const malformed = { ...env, HAPAX_WEBHOOK_SECRET_PREVIOUS: VALUE }
const LINE = JSON.stringify({
  message: 'a setting is malformed',
  reason: 'HAPAX_WEBHOOK_SECRET_PREVIOUS must be whsec_ and at least 24 bytes in Base64.',
})

afterEach(() => vi.restoreAllMocks())

const spyOnLog = () => vi.spyOn(console, 'error').mockImplementation(() => {})
const linesOf = (log: MockInstance<typeof console.error>) => log.mock.calls.map(([line]) => line)
const makeWorker = () => createWorker(createGateway({ tenant: credential('Authorization') }))

it('says at start which secret is malformed', () => {
  const log = spyOnLog()
  withEnv(malformed, makeWorker)
  expect(linesOf(log)).toEqual([LINE])
})

it('says it of a secret that a route names for one receiver', () => {
  const log = spyOnLog()
  const app = createGateway({ tenant: credential('Authorization') })
  const to = webhook('https://crm.test/hooks', { secret: 'CRM_SECRET' })
  app.post('/payments', protect({ events: [{ on: 'succeeded', to }] }))
  withEnv({ ...env, CRM_SECRET: VALUE }, () => createWorker(app))
  expect(linesOf(log)).toEqual([expect.stringContaining('CRM_SECRET must be whsec_')])
  expect(linesOf(log).join()).not.toContain(VALUE)
})

it('says it in the log of the first event, and goes on', async () => {
  const log = spyOnLog()
  const worker = makeWorker()
  expect(linesOf(log)).toEqual([])
  const ask = () => {
    const request = new Request<unknown, IncomingRequestCfProperties>(
      'https://gateway.test/.well-known/idempotency',
    )
    return worker.fetch?.(request, malformed, createExecutionContext())
  }
  expect([(await ask())?.status, (await ask())?.status]).toEqual([200, 200])
  expect(linesOf(log)).toEqual([LINE])
})
