import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Context } from 'hono'
import { describe, expect, it, vi } from 'vitest'

import type { OperationGuard, SettleCall } from '../../src/core/operation/operation-guard.ts'
import {
  createGateway,
  credential,
  emit,
  type GatewayEnv,
  idempotent,
  type PolicyOptions,
  probe,
  webhook,
} from '../../src/hapax.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const LEASE_MS = 900
const HOOK = 'https://shop.test/hooks'

stopClock()

/** The messages of a Worker pass here on their way to the real object. */
type Way = (object: OperationGuard) => Partial<OperationGuard>

function namespaceOver(way: Way) {
  const getByName = (name: string) => {
    const object = env.OPERATIONS.getByName(name) as unknown as OperationGuard
    const handedOver: Partial<OperationGuard> = {
      claim: (request, caller) => object.claim(request, caller),
      renew: (claim, leaseMs) => object.renew(claim, leaseMs),
      settle: (call) => object.settle(call),
      stream: (call) => object.stream(call),
    }
    return { ...handedOver, ...way(object) }
  }
  return { OPERATIONS: { getByName } }
}

/** No renewal comes through: the lease ends though the handler runs. */
const UNRENEWED = namespaceOver(() => ({ renew: () => Promise.reject(new Error('lost')) }))

/** A gateway whose handler answers as the test says, once it says so. */
function gatewayWith(policy: PolicyOptions, answer: (c: Context<GatewayEnv>) => Response) {
  const opened = Promise.withResolvers<void>()
  const handler = vi.fn(async (c: Context<GatewayEnv>) => {
    await opened.promise
    return answer(c)
  })
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/chat', idempotent({ lease: LEASE_MS, ...policy }), (c) => handler(c))
  const send = clientOf(app, '/chat', { isWaiting: false })
  const isRunning = () => until(() => handler.mock.calls.length > 0)
  return { handler, send, isRunning, open: () => opened.resolve() }
}

/** An event stream that the test writes. */
function playStream() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const encoder = new TextEncoder()
  return {
    answer: () => new Response(readable, { headers: { 'Content-Type': 'text/event-stream' } }),
    write: (text: string) => writer.write(encoder.encode(text)),
    end: () => writer.close(),
  }
}

const isReplayed = (send: (key: string) => Promise<Response>, key: string) =>
  until(async () => word(await send(key)) === 'replayed')

describe('a renewal that comes behind the stream', () => {
  it.each(['hold', 'resend'] as const)(
    'does not take the claim back from the object, under %s',
    async (unknown) => {
      const { answer, write, end } = playStream()
      const { handler, send, isRunning, open } = gatewayWith({ unknown }, answer)
      const late: (() => Promise<boolean>)[] = []
      const delayed = namespaceOver((object) => ({
        renew: (claim, leaseMs) => {
          late.push(() => object.renew(claim, leaseMs))
          return Promise.resolve(true)
        },
      }))
      const key = `late-renewal-${unknown}`
      const first = send(key, { env: delayed })
      await isRunning()
      await until(() => late.length > 0)
      open()
      const body = (await first).text()
      await write('one ')
      expect(await Promise.all(late.map((renew) => renew()))).not.toContain(true)

      pass(LEASE_MS + 1)
      const joined = await send(key)
      expect(word(joined)).toBe('joined')
      await write('two')
      await end()
      expect(await body).toBe('one two')
      expect(await joined.text()).toBe('one two')
      await isReplayed(send, key)
      expect(await (await send(key)).text()).toBe('one two')
      expect(handler).toHaveBeenCalledTimes(1)
    },
  )
})

describe('a settle that is long on its way', () => {
  it('keeps its lease, so that nobody runs the handler again', async () => {
    const { handler, send, isRunning, open } = gatewayWith({ unknown: 'resend' }, (c) =>
      c.text('short', 201),
    )
    const arrived = Promise.withResolvers<void>()
    let renewalCount = 0
    const delayed = namespaceOver((object) => ({
      renew: (claim, leaseMs) => {
        renewalCount += 1
        return object.renew(claim, leaseMs)
      },
      settle: async (call) => {
        await arrived.promise
        return object.settle(call)
      },
    }))
    const first = send('settle-on-its-way', { env: delayed })
    await isRunning()
    open()
    // On a clock that stands still but for this: a lease that is not renewed is over by then.
    await until(() => renewalCount > 0)
    pass(LEASE_MS - 1)
    const before = renewalCount
    await until(() => renewalCount > before + 1)
    pass(LEASE_MS - 1)
    const again = send('settle-on-its-way')
    arrived.resolve()
    expect(word(await first)).toBe('executed')
    expect(['joined', 'replayed']).toContain(word(await again))
    expect(handler).toHaveBeenCalledTimes(1)
  })
})

describe('an answer that comes when the lease has ended and its operation is held', () => {
  it('is recorded when it streams: joined, replayed, its events delivered, off the list', async () => {
    const delivered: string[] = []
    playOrigin(async (request) => {
      delivered.push(await request.text())
      return new Response(null, { status: 204 })
    })
    const { answer, write, end } = playStream()
    const { handler, send, isRunning, open } = gatewayWith({}, (c) => {
      emit(c, { type: 'chat.answered', to: webhook(HOOK) })
      return answer()
    })
    const first = send('late-stream', { env: UNRENEWED })
    await isRunning()
    pass(LEASE_MS + 1)
    expect(word(await send('late-stream'))).toBe('unknown')
    const object = await objectOf('late-stream')
    await runDurableObjectAlarm(object)
    expect(await isStuck('late-stream')).toBe(true)

    open()
    const body = (await first).text()
    await write('one ')
    const joined = (await send('late-stream')).text()
    await write('two')
    await end()
    expect(await Promise.all([body, joined])).toEqual(['one two', 'one two'])
    await isReplayed(send, 'late-stream')
    await runDurableObjectAlarm(object)
    expect(delivered.map((text) => (JSON.parse(text) as { type: string }).type)).toEqual([
      'chat.answered',
    ])
    expect(await isStuck('late-stream')).toBe(false)
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('is recorded when it is larger than what crosses in one piece', async () => {
    const large = 'x'.repeat(1_500_000)
    const { handler, send, isRunning, open } = gatewayWith({}, () => new Response(large))
    const first = send('late-large', { env: UNRENEWED })
    await isRunning()
    pass(LEASE_MS + 1)
    expect(word(await send('late-large'))).toBe('unknown')
    open()
    expect(await (await first).text()).toBe(large)
    await isReplayed(send, 'late-large')
    expect(await (await send('late-large')).text()).toBe(large)
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it.each([
    { verdict: 'that it was not executed', status: 404 },
    { verdict: 'another result', status: 200 },
    { verdict: 'nothing', status: 503 },
  ])(
    'counts, though the origin was asked meanwhile and then tells $verdict',
    async ({ status }) => {
      const told = Promise.withResolvers<void>()
      const origin = playOrigin(async () => {
        await told.promise
        return new Response('of the status resource', { status })
      })
      const { answer, write, end } = playStream()
      const policy = { unknown: probe('/chat/{key}'), wait: '60s' } as const
      const { handler, send, isRunning, open } = gatewayWith(policy, answer)
      const key = `late-asked-${status}`
      const first = send(key, { env: UNRENEWED })
      await isRunning()
      pass(LEASE_MS + 1)
      const asking = send(key)
      await until(() => origin.requests.length > 0)
      const waiting = send(key)
      open()
      const body = (await first).text()
      told.resolve()
      await write('one')
      await end()
      const others = await Promise.all([asking, waiting])
      const texts = await Promise.all(others.map((response) => response.text()))
      expect([await body, ...texts]).toEqual(['one', 'one', 'one'])
      await isReplayed(send, key)
      expect(await (await send(key)).text()).toBe('one')
      expect(handler).toHaveBeenCalledTimes(1)
    },
  )
})

describe('a settle that is asked again', () => {
  it.each([
    { what: 'a result', status: 201, after: 'replayed' },
    { what: 'that nothing was executed', status: 503, after: 'not-executed' },
    { what: 'that nobody knows', status: 500, after: 'unknown' },
  ])('is told that it was taken, and changes nothing: $what', async ({ status, after }) => {
    const calls: SettleCall[] = []
    const noted = namespaceOver((object) => ({
      settle: (call) => {
        calls.push(call)
        return object.settle(call)
      },
    }))
    const { send, open } = gatewayWith({}, () => new Response('x', { status }))
    open()
    const key = `settled-twice-${status}`
    await send(key, { env: noted })
    await until(() => calls.length === 1)
    const object = (await objectOf(key)) as unknown as OperationGuard
    const again = await Promise.all(calls.map((call) => object.settle(call)))
    expect(again).toEqual(['taken'])
    expect(word(await send(key))).toBe(after)
  })

  it('is refused when its claim was adopted: it is the stream that counts', async () => {
    const { answer, write, end } = playStream()
    const { send, open } = gatewayWith({}, answer)
    const claims: SettleCall['claim'][] = []
    const noted = namespaceOver((object) => ({
      stream: (call) => {
        claims.push(call.claim)
        return object.stream(call)
      },
    }))
    open()
    const body = (await send('settle-behind-stream', { env: noted })).text()
    const object = (await objectOf('settle-behind-stream')) as unknown as OperationGuard
    const told = await Promise.all(claims.map((claim) => object.settle(unknownFor(claim))))
    expect(told).toEqual(['refused'])
    await write('whole')
    await end()
    expect(await body).toBe('whole')
    await isReplayed(send, 'settle-behind-stream')
  })
})

/** A handler that threw. */
function unknownFor(claim: SettleCall['claim']): SettleCall {
  const evidence = { originStatus: null, fault: null }
  return {
    claim,
    settlement: { outcome: 'unknown', reason: 'handler-threw', evidence },
    end: { kind: 'fault', fault: 'lost', outcome: 'unknown', originStatus: null },
    sealKey: null,
    events: [],
  }
}

async function isStuck(key: string): Promise<boolean> {
  const id = await idOf(key)
  const directory = env.DIRECTORY.getByName('directory')
  const { entries } = await directory.listStuck({ after: null, limit: 1_000 })
  return entries.some(({ operationId }) => operationId === id)
}
