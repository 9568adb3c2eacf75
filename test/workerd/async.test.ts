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
  header,
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
    async get(
      path: string,
      headers: Record<string, string> = {},
      method = 'GET',
    ): Promise<Response> {
      const request = new Request<unknown, IncomingRequestCfProperties>(
        `https://gateway.test${path}`,
        {
          method,
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

  it('ends the events if their operation cannot be looked up any more', async () => {
    const origin = playSlowOrigin(report)
    const { send, get } = gatewayWith()
    const accepted = await send('broken-off', ASYNC)
    const events = await get(accepted.headers.get('Location') ?? '', {
      Accept: 'text/event-stream',
    })
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {})
    vi.spyOn(env.OPERATIONS, 'getByName').mockImplementation(() => {
      throw new Error('The object is away.')
    })
    expect(await events.text()).toMatch(/^event: state\ndata: [^\n]*"in_progress"[^\n]*\n\n$/)
    expect(logged.mock.calls.join()).toContain('the events of an operation broke off')
    origin.release()
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

describe('/_hapax/operations', () => {
  const LIST = '/_hapax/operations'

  it.each([
    { by: 'the header', path: LIST, headers: { 'Idempotency-Key': 'looked-for' } },
    { by: 'the header in quotes', path: LIST, headers: { 'Idempotency-Key': '"looked-for"' } },
    { by: 'the query', path: `${LIST}?key=looked-for`, headers: {} },
    { by: 'the query in quotes', path: `${LIST}?key=%22looked-for%22`, headers: {} },
    {
      by: 'the query and its operation',
      path: `${LIST}?key=looked-for&operation=POST%20/reports`,
      headers: {},
    },
  ])('finds an operation by its key in $by', async ({ path, headers }) => {
    const origin = playOrigin(report)
    const { send, get } = gatewayWith()
    await send('looked-for')
    const byId = await get(`${LIST}/${await idOf('looked-for')}`)
    const found = await get(path, headers)
    expect(await found.json()).toEqual(await byId.json())
    expect(found.headers.get('Content-Location')).toBe(`${LIST}/${await idOf('looked-for')}`)
    expect([found.status, word(found)]).toEqual([200, 'executed'])
    expect(origin.requests.length).toBeLessThanOrEqual(1)
  })

  it('tells the state in a header, for HEAD', async () => {
    const origin = playSlowOrigin(report)
    const { send, get } = gatewayWith()
    const sent = send('running')
    await origin.asked()
    const path = `${LIST}?key=running`
    const running = await get(path, {}, 'HEAD')
    expect([running.status, word(running), await running.text()]).toEqual([200, 'in-progress', ''])
    expect(running.headers.get('Retry-After')).toBe('1')
    origin.release()
    await sent
    const ended = await get(path, { Prefer: 'wait=30' }, 'HEAD')
    expect([ended.status, word(ended)]).toEqual([200, 'executed'])
  })

  it('begins nothing', async () => {
    const origin = playOrigin(report)
    const { send, get } = gatewayWith()
    const never = await get(`${LIST}?key=never-sent`)
    expect([never.status, never.headers.get('Hapax-Error')]).toEqual([404, 'operation-not-found'])
    expect(origin.requests).toHaveLength(0)
    expect(word(await send('never-sent'))).toBe('executed')
  })

  it('shows an operation to nobody but its tenant', async () => {
    playOrigin(report)
    const { send, get } = gatewayWith()
    await send('by-key')
    const path = `${LIST}?key=by-key`
    expect((await get(path)).status).toBe(200)
    const other = await get(path, { Authorization: 'Bearer tenant-b' })
    expect([other.status, other.headers.get('Hapax-Error')]).toEqual([404, 'operation-not-found'])
    const nobody = await get(path, { Authorization: '' })
    expect([nobody.status, nobody.headers.get('Hapax-Error')]).toEqual([401, 'tenant-missing'])
  })

  it.each([
    { what: 'an empty key', path: `${LIST}?key=`, headers: {}, expected: 'key-invalid' },
    { what: 'two keys', path: `${LIST}?key=a&key=b`, headers: {}, expected: 'key-invalid' },
    {
      what: 'a key in both',
      path: `${LIST}?key=a`,
      headers: { 'Idempotency-Key': 'a' },
      expected: 'key-invalid',
    },
    { what: 'a list', path: LIST, headers: { 'Idempotency-Key': 'a, b' }, expected: 'key-invalid' },
    {
      what: 'a long key',
      path: `${LIST}?key=${'k'.repeat(256)}`,
      headers: {},
      expected: 'key-invalid',
    },
  ])('refuses $what', async ({ path, headers, expected }) => {
    const { get } = gatewayWith()
    const answer = await get(path, headers)
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([400, expected])
  })

  it('has nothing to show without a key', async () => {
    const answer = await gatewayWith().get(LIST)
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([404, 'operation-not-found'])
  })

  it('finds what counts within its operation by the name of that', async () => {
    playOrigin(report)
    const { send, get } = gatewayWith({ key: header('webhook-id') })
    await send('unused', { headers: { 'webhook-id': 'msg_1' } })
    const statusOf = async (search: string) => (await get(`${LIST}?key=msg_1${search}`)).status
    expect(await statusOf('')).toBe(404)
    expect(await statusOf('&operation=POST%20/reports')).toBe(200)
    expect(await statusOf('&operation=POST%20/others')).toBe(404)
  })

  it('does not take the operation of another name for the one that is asked for', async () => {
    playOrigin(report)
    const { send, get } = gatewayWith()
    await send('of-reports')
    expect((await get(`${LIST}?key=of-reports&operation=POST%20/others`)).status).toBe(404)
  })
})
