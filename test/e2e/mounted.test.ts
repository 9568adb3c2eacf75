import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Gateway, type Origin, startGateway, startOrigin } from './server.ts'

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'mounted-gateway/wrangler.toml')
  gateway = await startGateway({ origin, config })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

const post = (where: string, key: string) =>
  fetch(new URL(where, gateway.url), {
    method: 'POST',
    body: '{"amount":1}',
    headers: {
      Authorization: 'Bearer a',
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
    },
  })

describe('an app with hapax() as a named entrypoint', () => {
  it('runs a handler once, which hands its key to the API that it calls', async () => {
    origin.on('/grants', { kind: 'respond', body: 'yes' })
    const key = crypto.randomUUID()
    const [first, second] = [await post('/guarded/grants', key), await post('/guarded/grants', key)]
    expect([first.status, second.headers.get('Idempotency-Status')]).toEqual([201, 'replayed'])
    expect(await second.json()).toEqual({ granted: 'yes', attempt: 1 })
    const asked = origin.requests.filter(({ path: at }) => at === '/grants')
    expect(asked).toHaveLength(1)
    expect(asked[0]?.headers['idempotency-key']).toMatch(/^[\w-]{43}$/)
  })

  it('forwards to the origin once, with the whole path', async () => {
    origin.on('/guarded/payments', { kind: 'respond', status: 201, body: 'paid' })
    const key = crypto.randomUUID()
    const answers = await Promise.all([1, 2, 3].map(() => post('/guarded/payments', key)))
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201])
    expect(origin.requests.filter(({ path: at }) => at === '/guarded/payments')).toHaveLength(1)
  })

  it('leaves the Worker in front of it as it is', async () => {
    expect(await (await fetch(new URL('/anything', gateway.url))).text()).toBe('not of Hono')
  })
})
