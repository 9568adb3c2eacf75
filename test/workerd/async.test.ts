import {
  abortAllDurableObjects,
  createExecutionContext,
  runDurableObjectAlarm,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  createWorker,
  credential,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const ASYNC = { headers: { Prefer: 'respond-async' } }
const report = () =>
  new Response('a,b\n1,2\n', { status: 201, headers: { 'Content-Type': 'text/csv' } })

function gatewayWith(policy: PolicyOptions = {}) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/reports', protect(policy))
  const worker = createWorker(app)
  return {
    send: clientOf(app, '/reports', { isWaiting: false }),
    /** Asks for a path of the gateway. */
    async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
      const request = new Request<unknown, IncomingRequestCfProperties>(
        `https://gateway.test${path}`,
        {
          headers: { Authorization: 'Bearer tenant-a', ...headers },
        },
      )
      const response = await worker.fetch?.(request, env, createExecutionContext())
      if (response === undefined) throw new Error('A worker of a gateway has a fetch handler.')
      return response
    },
  }
}

describe('Prefer: respond-async', () => {
  it('answers 202 at once, says where the result will be, and keeps it there', async () => {
    const origin = playSlowOrigin(report)
    const { send, get } = gatewayWith()
    const accepted = await send('async', ASYNC)
    const location = `/_hapax/operations/${await idOf('async')}`
    expect([accepted.status, word(accepted)]).toEqual([202, 'accepted'])
    expect(accepted.headers.get('Location')).toBe(location)
    expect(accepted.headers.get('Preference-Applied')).toBe('respond-async')
    expect(location).not.toContain('async')

    const running = await get(location)
    expect(running.status).toBe(200)
    expect(running.headers.get('Retry-After')).toBe('1')
    expect(await running.json()).toMatchObject({ state: 'in_progress', attempts: 1 })
    expect((await get(`${location}/result`)).headers.get('Hapax-Error')).toBe('in-progress')

    origin.release()
    const done = await get(location, { Prefer: 'wait=10' })
    expect(await done.json()).toMatchObject({
      state: 'succeeded',
      result: { status: 201, headers: { 'content-type': 'text/csv' }, url: `${location}/result` },
    })
    const result = await get(`${location}/result`)
    expect([result.status, await result.text()]).toEqual([201, 'a,b\n1,2\n'])
    expect(result.headers.get('Idempotent-Replayed')).toBe('true')
    expect(await (await get(location, { Accept: 'text/csv' })).text()).toBe('a,b\n1,2\n')
    expect(origin.requests).toHaveLength(1)
  })

  it('answers with the result itself when that is there in the time that the client waits', async () => {
    playOrigin(report)
    const { send } = gatewayWith()
    const quick = await send('quick', { headers: { Prefer: 'respond-async, wait=10' } })
    expect([quick.status, word(quick)]).toEqual([201, 'executed'])
    expect(word(await send('quick', ASYNC))).toBe('replayed')
  })

  it('is 202 for a duplicate too, with the same location', async () => {
    const origin = playSlowOrigin(report)
    const { send } = gatewayWith()
    const first = await send('twice', ASYNC)
    const second = await send('twice', ASYNC)
    expect([second.status, second.headers.get('Location')]).toEqual([
      202,
      first.headers.get('Location'),
    ])
    origin.release()
    expect((await send('twice')).status).toBe(201)
    expect(origin.requests).toHaveLength(1)
  })

  it('shows an operation to nobody but its tenant', async () => {
    playOrigin(report)
    const { send, get } = gatewayWith()
    await send('private')
    const path = `/_hapax/operations/${await idOf('private')}`
    expect((await get(path)).status).toBe(200)
    for (const suffix of ['', '/result']) {
      const other = await get(path + suffix, { Authorization: 'Bearer tenant-b' })
      expect(other.headers.get('Hapax-Error')).toBe('operation-not-found')
      const nobody = await get(path + suffix, { Authorization: '' })
      expect(nobody.headers.get('Hapax-Error')).toBe('tenant-missing')
    }
  })

  it.each([
    'x',
    'A'.repeat(42),
    'A'.repeat(44),
    `${'A'.repeat(42)}.`,
    `${'A'.repeat(42)}\u00E9`,
    '%00',
    `${'A'.repeat(43)}%0A`,
  ])('asks no object for an id that none can have: %s', async (id) => {
    const reached = vi.fn(() => {
      throw new Error('An object was reached.')
    })
    vi.spyOn(env.OPERATIONS, 'getByName').mockImplementation(reached)
    const { get } = gatewayWith()
    for (const suffix of ['', '/result']) {
      const answer = await get(`/_hapax/operations/${id}${suffix}`)
      expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([
        404,
        'operation-not-found',
      ])
      const nobody = await get(`/_hapax/operations/${id}${suffix}`, { Authorization: '' })
      expect(nobody.headers.get('Hapax-Error')).toBe('tenant-missing')
    }
    expect(reached).not.toHaveBeenCalled()
  })

  it('sends the changes of state as server-sent events', async () => {
    const origin = playSlowOrigin(report)
    const { send, get } = gatewayWith()
    const accepted = await send('events', ASYNC)
    const location = accepted.headers.get('Location') ?? ''
    const events = await get(location, { Accept: 'text/event-stream' })
    origin.release()
    const text = await events.text()
    const states = [...text.matchAll(/event: state\ndata: (.*)/g)].map(
      ([, data = '']) => JSON.parse(data).state,
    )
    expect(states).toEqual(['in_progress', 'succeeded'])
  })

  it('keeps and sends nothing again of a caller that the origin does not let in', async () => {
    const origin = playOrigin(() => new Response('no', { status: 401 }))
    const { send, get } = gatewayWith({ durable: true })
    const refused = await send('stranger', ASYNC)
    expect([401, 202]).toContain(refused.status)
    await until(
      async () => (await get(`/_hapax/operations/${await idOf('stranger')}`)).status === 404,
    )
    expect(await runDurableObjectAlarm(await objectOf('stranger'))).toBe(false)
    expect(origin.requests).toHaveLength(1)
  })

  it('goes on waiting while the alarm still sees to it', async () => {
    const origin = playOrigin(() => new Response('oops', { status: 500 }))
    const { send, get } = gatewayWith({ durable: true, unknown: 'resend' })
    await send('seen-to')
    const path = `/_hapax/operations/${await idOf('seen-to')}`
    const state = await get(path)
    expect(await state.json()).toMatchObject({
      state: 'unknown',
      nextAttemptAt: expect.any(String),
    })
    expect(Number(state.headers.get('Retry-After'))).toBeGreaterThan(1)
    const result = await get(`${path}/result`)
    expect([result.status, result.headers.get('X-Should-Retry')]).toEqual([409, 'true'])
    expect(origin.requests).toHaveLength(1)
  })

  it('drives a stored operation to its end across a restart, without the client', async () => {
    let isAway = true
    const origin = playSlowOrigin(() => (isAway ? new Response('', { status: 503 }) : report()))
    const { send, get } = gatewayWith({ durable: true })
    const accepted = await send('driven', ASYNC)
    const location = accepted.headers.get('Location') ?? ''
    await origin.asked()
    await abortAllDurableObjects()
    origin.release()
    // Lost in the middle, under hold: nobody may execute it again.
    expect(await (await get(location)).json()).toMatchObject({
      state: 'unknown',
      reason: 'owner-lost',
    })

    const refused = await send('refused', ASYNC)
    const other = refused.headers.get('Location') ?? ''
    await until(() => origin.requests.length === 2)
    isAway = false
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 6_000)
    await runDurableObjectAlarm(await objectOf('refused'))
    expect(await (await get(other)).json()).toMatchObject({ state: 'succeeded', attempts: 2 })
  })
})
