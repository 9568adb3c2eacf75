import { evictDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Handler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, credential, idempotent, type PolicyOptions } from '../../src/hapax.ts'
import type { GatewayEnv } from '../../src/hapax.ts'
import { objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** A gateway whose one route runs in the Worker. */
function gatewayWith(handler: Handler<GatewayEnv>, policy: PolicyOptions = {}) {
  const calls = vi.fn(handler)
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/grants', idempotent(policy), (c, next) => calls(c, next))
  const send = clientOf(app, '/grants')
  return { calls, grant: (key: string, body = '{"user":"a"}') => send(key, { body }) }
}

describe('idempotent', () => {
  it('runs the handler once and replays what it answered', async () => {
    const { calls, grant } = gatewayWith(async (c) => {
      const { user } = await c.req.json<{ user: string }>()
      return c.json({ granted: user }, 201, { Location: '/grants/1' })
    })
    const first = await grant('once')
    const again = await grant('once')
    expect([first.status, word(first)]).toEqual([201, 'executed'])
    expect([again.status, word(again)]).toEqual([201, 'replayed'])
    expect(again.headers.get('Location')).toBe('/grants/1')
    expect(await again.text()).toBe('{"granted":"a"}')
    expect(calls).toHaveBeenCalledTimes(1)
  })

  it('refuses the same key with another payload', async () => {
    const { calls, grant } = gatewayWith((c) => c.text('ok'))
    await grant('mismatch')
    const other = await grant('mismatch', '{"user":"b"}')
    expect(other.headers.get('Hapax-Error')).toBe('key-reused')
    expect(calls).toHaveBeenCalledTimes(1)
  })

  it('lets duplicates wait for the handler, even across a restart of the object', async () => {
    const gate = Promise.withResolvers<void>()
    const { calls, grant } = gatewayWith(async (c) => {
      await gate.promise
      return c.text('done')
    })
    const first = grant('waits')
    await until(() => calls.mock.calls.length === 1)
    await evictDurableObject(await objectOf('waits'))
    const second = grant('waits')
    gate.resolve()
    expect(word(await first)).toBe('executed')
    expect(['joined', 'replayed']).toContain(word(await second))
    expect(await (await second).text()).toBe('done')
    expect(calls).toHaveBeenCalledTimes(1)
  })

  it('answers at once that it is running where the route does not wait', async () => {
    const gate = Promise.withResolvers<void>()
    const { calls, grant } = gatewayWith(async (c) => (await gate.promise, c.text('done')), {
      wait: 0,
    })
    const first = grant('no-wait')
    await until(() => calls.mock.calls.length === 1)
    const second = await grant('no-wait')
    gate.resolve()
    expect(second.headers.get('Hapax-Error')).toBe('in-progress')
    expect(Number(second.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    await first
  })

  it('holds the operation of a handler that threw: nobody knows what it did before', async () => {
    const { calls, grant } = gatewayWith(() => {
      throw new Error('half done')
    })
    const first = await grant('threw')
    const again = await grant('threw')
    expect([first.status, word(first)]).toEqual([500, 'unknown'])
    expect([again.status, word(again)]).toEqual([409, 'unknown'])
    expect(calls).toHaveBeenCalledTimes(1)
  })

  it.each([
    { status: 422, expected: 'replayed' },
    { status: 503, expected: 'not-executed' },
  ] as const)(
    'takes a thrown HTTPException $status for an answer',
    async ({ status, expected }) => {
      const { grant } = gatewayWith(() => {
        throw new HTTPException(status, { message: 'no' })
      })
      expect((await grant(`http-${status}`)).status).toBe(status)
      const again = await grant(`http-${status}`)
      expect([again.status, word(again)]).toEqual([status, expected])
    },
  )

  it('runs a handler again that lost its lease, where the route says resend, and refuses the late settle', async () => {
    const gate = Promise.withResolvers<void>()
    let runs = 0
    const point = vi.spyOn(env.METRICS, 'writeDataPoint')
    const { grant } = gatewayWith(
      async (c) => {
        runs += 1
        if (runs === 1) await gate.promise
        return c.text(`run ${runs === 1 ? 'one' : 'two'}`)
      },
      { unknown: 'resend', lease: '10m' },
    )
    const first = grant('late-owner')
    await until(() => runs === 1)
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 600_001)
    const second = await grant('late-owner')
    expect([await second.text(), word(second)]).toEqual(['run two', 'executed'])
    gate.resolve()
    await first
    expect(point.mock.lastCall?.[0]?.blobs?.[8]).toBe('refused')
    expect(await (await grant('late-owner')).text()).toBe('run two')
  })

  it('takes the settle of a handler that lost its lease when nobody has taken over', async () => {
    const gate = Promise.withResolvers<void>()
    const point = vi.spyOn(env.METRICS, 'writeDataPoint')
    const { calls, grant } = gatewayWith(async (c) => (await gate.promise, c.text('done')))
    const first = grant('late-alone')
    await until(() => calls.mock.calls.length === 1)
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 60_001)
    expect(word(await grant('late-alone'))).toBe('unknown')
    gate.resolve()
    expect(word(await first)).toBe('executed')
    expect(point.mock.lastCall?.[0]?.blobs?.[8]).toBe('late')
    expect(await (await grant('late-alone')).text()).toBe('done')
    expect(calls).toHaveBeenCalledTimes(1)
  })

  it('renews the lease of a handler that runs longer', async () => {
    const gate = Promise.withResolvers<void>()
    const { calls, grant } = gatewayWith(async (c) => (await gate.promise, c.text('done')), {
      lease: '1s',
      wait: 0,
    })
    const first = grant('long')
    await until(() => calls.mock.calls.length === 1)
    const startedAt = Date.now()
    await until(() => Date.now() > startedAt + 1_500)
    expect(word(await grant('long'))).toBe('in-progress')
    gate.resolve()
    expect(word(await first)).toBe('executed')
  })

  it('names the route and every wrong field of a bad policy at start', () => {
    const bad = {
      retention: '24 hours',
      waitt: '1s',
      limits: { request: -1 },
    } as unknown as PolicyOptions
    expect(() => gatewayWith((c) => c.text('never'), bad)).toThrow(
      /POST \/grants[^]*retention: [^]*limits\.request: [^]*waitt/,
    )
  })
})
