import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type DemoRequest, headerOf, statusOf } from '../../demo/client.ts'
import { startBareGateway } from './bare.ts'
import { type Gateway, type Origin, json, startOrigin } from './server.ts'

const demoScript = path.resolve(import.meta.dirname, '../../demo/run.ts')

describe('a gateway in a real server', () => {
  let origin: Origin
  let gateway: Gateway

  beforeAll(async () => {
    origin = await startOrigin()
    gateway = await startBareGateway({ origin, config: 'wrangler.toml' })
  })
  afterAll(async () => {
    await gateway.stop()
    await origin.close()
  })

  const callsOf = (marker: string) =>
    origin.requestsTo('/payments').filter(({ body }) => body.includes(marker))

  it('lets a client that hung up find the result of its first request', async () => {
    const release = origin.hold('/payments')
    const hangUp = new AbortController()
    const request = payment('hang-up')
    const nth = origin.requestsTo('/payments').length + 1
    const first = gateway.send({ ...request, signal: hangUp.signal })
    await origin.received('/payments', nth)
    hangUp.abort()
    expect(await first).toMatchObject({ kind: 'lost' })

    release(json(201, { id: 'pay_1' }))
    const second = await gateway.send(request)
    expect(second).toMatchObject({ status: 201, body: '{"id":"pay_1"}' })
    expect(headerOf(second, 'Idempotency-Status')).toMatch(/^(joined|replayed)$/)
    expect(callsOf('hang-up')).toHaveLength(1)
  })

  it('lets a client that hung up join its first request while that is still running', async () => {
    const release = origin.hold('/payments')
    const hangUp = new AbortController()
    const request = payment('come-back')
    const nth = origin.requestsTo('/payments').length + 1
    const first = gateway.send({ ...request, signal: hangUp.signal })
    await origin.received('/payments', nth)
    hangUp.abort()
    await first

    const second = gateway.send(request)
    release({ ...json(201, { id: 'pay_2' }), delayMs: 300 })
    expect(await second).toMatchObject({ status: 201, body: '{"id":"pay_2"}' })
    expect(callsOf('come-back')).toHaveLength(1)
  })

  it('replays after kill -9 what a client has seen before', async () => {
    origin.on('/payments', json(201, { id: 'pay_3' }))
    const request = payment('seen')
    const first = await gateway.send(request)
    await gateway.kill()
    expect(statusOf(first)).toBe(201)

    await gateway.restart()
    const second = await gateway.send(request)
    expect(second).toMatchObject({ status: 201, body: '{"id":"pay_3"}' })
    expect(headerOf(second, 'Idempotency-Status')).toBe('replayed')
    expect(headerOf(second, 'Idempotent-Replayed')).toBe('true')
    expect(callsOf('seen')).toHaveLength(1)
  })

  it('does not send again what was on its way to the origin at kill -9', async () => {
    origin.hold('/payments')
    const request = payment('in-flight')
    const nth = origin.requestsTo('/payments').length + 1
    const first = gateway.send(request)
    await origin.received('/payments', nth)
    await gateway.kill()
    expect(await first).toMatchObject({ kind: 'lost' })

    await gateway.restart()
    origin.on('/payments', json(201, { id: 'pay_4' }))
    const second = await gateway.send(request)
    expect(statusOf(second)).toBe(409)
    expect(headerOf(second, 'Hapax-Error')).toBe('outcome-unknown')
    expect(callsOf('in-flight')).toHaveLength(1)
  })

  it.each(Array.from({ length: 10 }, (_, index) => ({ round: index + 1 })))(
    'makes one call of 100 concurrent duplicates, round $round',
    async ({ round }) => {
      origin.on('/payments', (_, nth) => json(201, { id: `pay_${nth}` }))
      const request = payment(`storm-${round}`)
      const answers = await Promise.all(Array.from({ length: 100 }, () => gateway.send(request)))

      expect(new Set(answers.map((answer) => statusOf(answer)))).toEqual(new Set([201]))
      expect(new Set(answers.map((answer) => 'body' in answer && answer.body)).size).toBe(1)
      const statuses = answers.map((answer) => headerOf(answer, 'Idempotency-Status'))
      expect(statuses.filter((status) => status === 'executed')).toHaveLength(1)
      expect(statuses.filter((status) => /^(joined|replayed)$/.test(status ?? ''))).toHaveLength(99)
      expect(callsOf(`"storm-${round}"`)).toHaveLength(1)
    },
  )
})

describe('npm run demo', () => {
  it('finds every operation done exactly once', { timeout: 120_000 }, async () => {
    const demo = spawn(process.execPath, [demoScript], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [output] = await Promise.all([text(demo.stdout), once(demo, 'close')])
    expect({ exitCode: demo.exitCode, output }).toMatchObject({ exitCode: 0 })
  })
})

/** A payment whose key and body tell it from all others. */
function payment(marker: string): DemoRequest {
  const body = JSON.stringify({ amount: 500, currency: 'EUR', reference: marker })
  return { path: '/payments', key: `e2e-${marker}`, body }
}
