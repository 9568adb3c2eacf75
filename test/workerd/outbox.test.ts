import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  type CloudEvent,
  createGateway,
  credential,
  emit,
  idempotent,
  type PolicyOptions,
  protect,
  queue,
  webhook,
} from '../../src/hapax.ts'
import { objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const URL_OF_HOOK = 'https://shop.test/hooks'
const { HAPAX_WEBHOOK_SECRET: SECRET } = env as unknown as { HAPAX_WEBHOOK_SECRET: string }
const { OUTBOX } = env as unknown as { OUTBOX: Queue }

function sendTo(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return (key: string) => clientOf(app, '/payments')(key)
}

const alarm = async (key: string) => runDurableObjectAlarm(await objectOf(key))

describe('events of an operation', () => {
  it('are sent to a webhook, signed, until it takes them', async () => {
    let isUp = false
    const origin = playOrigin((request) => {
      if (request.url !== URL_OF_HOOK) return new Response('{"id":1}', { status: 201 })
      return new Response(null, { status: isUp ? 204 : 503 })
    })
    const send = sendTo({ events: [{ on: 'succeeded', to: webhook(URL_OF_HOOK) }] })
    expect(word(await send('hooked'))).toBe('executed')
    await vi.waitUntil(() => origin.requests.length === 2)
    isUp = true
    await vi.waitUntil(
      async () => {
        await alarm('hooked')
        return origin.requests.length >= 3
      },
      { timeout: 5_000 },
    )
    const [, first, second] = origin.requests
    const [body, again] = [await first?.text(), await second?.text()]
    expect(again).toBe(body)
    const headers = Object.fromEntries(second?.headers ?? [])
    const event = new Webhook(SECRET).verify(again ?? '', headers) as CloudEvent
    expect(event).toMatchObject({
      specversion: '1.0',
      type: 'operation.succeeded',
      data: { operation: 'POST /payments', state: 'succeeded' },
    })
  })

  it('emitted by a handler are sent to a queue, in their order', async () => {
    const sent = vi.spyOn(OUTBOX, 'send')
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/reports', idempotent(), (c) => {
      emit(c, { type: 'report.requested', data: { n: 1 }, to: queue('OUTBOX') })
      emit(c, { type: 'report.noted', data: { n: 2 }, to: queue('OUTBOX') })
      return c.json({ ok: true }, 202)
    })
    await clientOf(app, '/reports')('emits')
    await vi.waitUntil(() => sent.mock.calls.length === 2)
    const types = sent.mock.calls.map(([event]) => (event as CloudEvent).type)
    expect(types).toEqual(['report.requested', 'report.noted'])
  })
})
