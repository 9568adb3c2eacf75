import { env } from 'cloudflare:workers'
import type { Context } from 'hono'
import { beforeEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type GatewayEnv,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const MINUTE = 60_000

stopClock()

beforeEach(() => {
  vi.spyOn(env.METRICS, 'writeDataPoint')
})
/** Method, status, outcome and age of what was counted. */
const counted = () =>
  vi
    .mocked(env.METRICS.writeDataPoint)
    .mock.calls.map(([point]) => [
      ...[1, 2, 4].map((at) => point?.blobs?.[at]),
      point?.doubles?.[7],
    ])

const gatewayWith = () => createGateway({ tenant: credential('Authorization') })

function clientWith(policy: PolicyOptions) {
  const app = gatewayWith()
  app.post('/doubted', protect(policy))
  return clientOf(app, '/doubted')
}

const answer = (status: number) => new Response('x', { status, headers: { 'Content-Length': '1' } })

describe('the point of an unknown outcome says for how long it has been so', () => {
  it('of a repeat that is held', async () => {
    playOrigin(() => answer(500))
    const send = clientWith({})
    await send('age-held')
    pass(5 * MINUTE)
    await send('age-held')
    expect(counted()).toEqual([
      ['POST', 'unknown', 'unknown', 0],
      ['POST', 'unknown', 'unknown', 5 * MINUTE],
    ])
  })

  it('of a duplicate that had waited for the call', async () => {
    const origin = playSlowOrigin(() => answer(500))
    const send = clientWith({})
    const first = send('age-joined')
    await origin.asked()
    const second = send('age-joined')
    // It has reached the object when a third one has, which does not wait.
    expect(word(await send('age-joined', { headers: { Prefer: 'wait=0' } }))).toBe('in-progress')
    origin.release()
    expect(word(await first)).toBe('unknown')
    expect(word(await second)).toBe('joined')
    expect(counted().slice(1)).toEqual(
      expect.arrayContaining([
        ['POST', 'unknown', 'unknown', 0],
        ['POST', 'joined', 'unknown', 0],
      ]),
    )
  })

  it('of a repeat that asks the origin in vain, and of its question', async () => {
    playOrigin(() => answer(500))
    const send = clientWith({ unknown: probe('/doubted/by-key/{key}') })
    await send('age-probed')
    pass(5 * MINUTE)
    await send('age-probed')
    expect(counted().slice(1)).toEqual([
      ['ALARM', 'unknown', 'unknown', 5 * MINUTE],
      ['POST', 'unknown', 'unknown', 5 * MINUTE],
    ])
  })

  it('of a repeat that is sent again in vain', async () => {
    playOrigin(() => answer(500))
    const send = clientWith({ unknown: 'resend' })
    await send('age-resent')
    pass(5 * MINUTE)
    await send('age-resent')
    pass(5 * MINUTE)
    await send('age-resent')
    expect(counted().map((point) => point.at(-1))).toEqual([0, 5 * MINUTE, 10 * MINUTE])
  })

  it('of a new life of its key, not of one before', async () => {
    let calls = 0
    playOrigin(() => answer((calls += 1) === 1 ? 201 : 500))
    const send = clientWith({ retention: '1h' })
    await send('age-anew')
    pass(2 * 60 * MINUTE)
    await send('age-anew')
    pass(MINUTE)
    await send('age-anew')
    expect(counted()).toEqual([
      ['POST', 'executed', 'succeeded', 0],
      ['POST', 'unknown', 'unknown', 0],
      ['POST', 'unknown', 'unknown', MINUTE],
    ])
  })

  it.each([
    { name: 'fails again', status: 500 },
    { name: 'was not executed, which says nothing of the call before', status: 429 },
  ])('of a handler that is run again and $name', async ({ status }) => {
    const statuses = [500, status]
    const handle = vi.fn((c: Context<GatewayEnv>) => {
      const next = statuses.shift() ?? 500
      return c.body('x', next as 500)
    })
    const app = gatewayWith()
    app.post('/handled', idempotent({ unknown: 'resend' }), (c) => handle(c))
    const send = clientOf(app, '/handled')
    const key = `age-handled-${status}`
    await send(key)
    pass(5 * MINUTE)
    expect(word(await send(key))).toBe('unknown')
    expect(handle).toHaveBeenCalledTimes(2)
    await until(() => counted().length === 2)
    expect(counted()).toEqual([
      ['POST', 'unknown', 'unknown', 0],
      ['POST', 'unknown', 'unknown', 5 * MINUTE],
    ])
  })
})
