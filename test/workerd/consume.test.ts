import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { HTTPException } from 'hono/http-exception'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  asHeader,
  attribute,
  business,
  consume,
  type ConsumeOptions,
  createGateway,
  forward,
  fromHeader,
  type Handlers,
  protect,
} from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const QUEUE = 'work'
let nth = 0

interface Sent {
  readonly body: unknown
  readonly id?: string
  readonly attempts?: number
}

function consumerWith(handlers: Handlers, options: Partial<ConsumeOptions> = {}) {
  const queue = consume(handlers, { tenant: attribute('tenant'), ...options })
  return async function deliver(...messages: Sent[]) {
    const batch = createMessageBatch(
      QUEUE,
      messages.map(({ body, id, attempts = 1 }) => ({
        id: id ?? `message-${(nth += 1)}`,
        timestamp: new Date(),
        attempts,
        body,
      })),
    )
    const ctx = createExecutionContext()
    await queue(batch, env as never, ctx)
    await waitOnExecutionContext(ctx)
    const { explicitAcks, retryMessages } = await getQueueResult(batch, ctx)
    return { acked: explicitAcks, retried: retryMessages.map(({ msgId }) => msgId) }
  }
}

const eventOf = (id: string, data: unknown, over: object = {}) => ({
  specversion: '1.0',
  id,
  source: '/test',
  type: 'order.paid',
  tenant: 'acme',
  data,
  ...over,
})

const letters = async () => {
  const directory = env.DIRECTORY.getByName('directory')
  const { entries } = await directory.listLetters({ after: null, limit: 100 })
  return entries
}

describe('consume', () => {
  it('does a message once, however often it is delivered', async () => {
    const handler = vi.fn(async () => ({ ok: true }))
    const deliver = consumerWith({ 'order.paid': handler })
    const body = eventOf('once', { order: 1 })
    expect(await deliver({ id: 'a', body })).toEqual({ acked: ['a'], retried: [] })
    expect(await deliver({ id: 'b', body })).toEqual({ acked: ['b'], retried: [] })
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('tries again what said that nothing was done', async () => {
    const handler = vi.fn(async () => {
      if (handler.mock.calls.length === 1) throw new HTTPException(503)
    })
    const deliver = consumerWith({ 'order.paid': handler })
    const body = eventOf('later', { order: 1 })
    expect(await deliver({ id: 'a1', body })).toEqual({ acked: [], retried: ['a1'] })
    expect(await deliver({ id: 'a1', body, attempts: 2 })).toEqual({ acked: ['a1'], retried: [] })
    expect(handler).toHaveBeenCalledTimes(2)
  })

  it('is one operation with a request of the same business key', async () => {
    const origin = playOrigin(() => Response.json({ paid: true }, { status: 201 }))
    const app = createGateway({ tenant: fromHeader('X-Tenant') })
    app.post('/payments', protect({ key: business('/order') }))
    const deliver = consumerWith(
      { 'order.paid': forward('/payments') },
      {
        key: business('/order'),
        tenant: asHeader('X-Tenant', attribute('tenant')),
      },
    )
    const body = eventOf('twin', { order: 'o-1', amount: 5 })
    expect(await deliver({ id: 'm', body })).toEqual({ acked: ['m'], retried: [] })
    const response = await clientOf(app, '/payments')('unused', {
      body: '{"amount":5,"order":"o-1"}',
      headers: { 'X-Tenant': 'acme' },
    })
    expect(word(response)).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it('keeps what can never be done as a dead letter, and goes on with the others', async () => {
    const handler = vi.fn(async () => {})
    const deliver = consumerWith({ 'order.paid': handler })
    const result = await deliver(
      { id: 'p1', body: eventOf('poison', { a: 1 }, { type: 'unheard.of' }) },
      { id: 'p2', body: eventOf('fine', { a: 1 }) },
      { id: 'p3', body: eventOf('fine', { a: 2 }) },
    )
    expect(result.acked.toSorted()).toEqual(['p1', 'p2', 'p3'])
    expect(handler).toHaveBeenCalledTimes(1)
    const reasons = (await letters()).map(({ id, reason }) => [id, reason])
    expect(reasons).toContainEqual(['work:p1', expect.stringContaining('no-handler')])
    expect(reasons).toContainEqual([
      expect.stringMatching(/^work:p[23]$/),
      expect.stringContaining('They differ in body, at /a.'),
    ])
  })

  it('holds what threw', async () => {
    const handler = vi.fn(async () => {
      throw new Error('no')
    })
    const deliver = consumerWith({ 'order.paid': handler })
    const body = eventOf('threw', { a: 1 })
    expect((await deliver({ id: 't1', body })).acked).toEqual(['t1'])
    expect((await letters()).find(({ id }) => id === 'work:t1')?.reason).toBe('outcome-unknown')
  })
})
