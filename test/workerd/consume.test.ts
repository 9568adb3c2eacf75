import {
  abortAllDurableObjects,
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  asClaim,
  asHeader,
  attribute,
  body,
  business,
  claim,
  consume,
  type ConsumeOptions,
  createGateway,
  createWorker,
  emit,
  type ErrorHook,
  event,
  forward,
  fromHeader,
  hapax,
  type Handlers,
  header,
  idempotent,
  IdempotencyObject,
  type KeySource,
  type MessageHandler,
  messageId,
  NotExecuted,
  param,
  protect,
  queue,
  type QueueConsumer,
  type ReceivedMessage,
} from '../../src/hapax.ts'
import { openLetter } from '../../src/operators/letter-content.ts'
import { openStoredBytes } from '../../src/platform/at-rest.ts'
import { buryMessage } from '../../src/queue/bury-message.ts'
import { readLetterBytes } from '../../src/queue/letter-bytes.ts'
import { readClone } from '../../src/queue/structured-clone.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const QUEUE = 'work'
const { OUTBOX } = env as unknown as { OUTBOX: Queue }
let nth = 0

/** Names what no other test names. */
const fresh = (name: string) => `${name}-${(nth += 1)}`

interface Sent {
  readonly body: unknown
  readonly id?: string
  readonly attempts?: number
}

/** Delivers a batch to a consumer, as the platform would, and tells what it was told. */
async function deliverTo(consumer: QueueConsumer, sent: readonly Sent[], over: object = {}) {
  const batch = createMessageBatch(
    QUEUE,
    sent.map((message) => ({
      id: message.id ?? fresh('message'),
      timestamp: new Date(),
      attempts: message.attempts ?? 1,
      body: message.body,
    })),
  )
  const delays: (number | undefined)[] = []
  for (const message of batch.messages) {
    const retry = message.retry.bind(message)
    vi.spyOn(message, 'retry').mockImplementation((options) => {
      delays.push(options?.delaySeconds)
      retry(options)
    })
  }
  const ctx = createExecutionContext()
  await consumer(batch, { ...env, ...over }, ctx)
  await waitOnExecutionContext(ctx)
  const { explicitAcks, retryMessages } = await getQueueResult(batch, ctx)
  const retried = retryMessages.map(({ msgId }) => msgId)
  return { acked: explicitAcks, retried, delays }
}

/** Delivers what the platform can, and a structured clone cannot. */
async function tell(consumer: QueueConsumer, id: string, sent: unknown): Promise<string> {
  const told: string[] = []
  const [ack, retry] = [() => void told.push('ack'), () => void told.push('retry')]
  const message = { id, body: sent, attempts: 1, timestamp: new Date(), ack, retry }
  const batch = { queue: QUEUE, messages: [message] } as unknown as MessageBatch
  const ctx = createExecutionContext()
  await consumer(batch, env, ctx)
  await waitOnExecutionContext(ctx)
  return told.join()
}

function consumerWith(handlers: Handlers, options: Partial<ConsumeOptions> = {}, over = {}) {
  const consumer = consume(handlers, { tenant: attribute('tenant'), ...options })
  const deliver = (...sent: Sent[]) => deliverTo(consumer, sent, over)
  /** Delivers one message. @returns What became of it: of a dead letter, the reason. */
  async function fateOf(message: Sent): Promise<string> {
    const id = message.id ?? fresh('message')
    const { retried } = await deliver({ ...message, id })
    if (retried.length > 0) return 'retry'
    return (await letterOf(id))?.reason ?? 'ack'
  }
  return Object.assign(deliver, { fateOf })
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

const directory = () => env.DIRECTORY.getByName('directory')
const letterOf = (id: string) => directory().letter(`${QUEUE}:${id}`)

/** What is in a dead letter. */
async function contentOf(id: string, over: object = {}): Promise<ReceivedMessage> {
  const letter = await letterOf(id)
  if (letter === null) throw new Error('There is no such letter.')
  const opened = await openStoredBytes({ ...env, ...over }, 'dead letter', letter.id, letter.bytes)
  return readClone(await readLetterBytes(opened)) as ReceivedMessage
}

/** The points of messages: operation, status, disposition, correlation, id of the operation. */
function watchPoints() {
  const spy = vi.spyOn(env.METRICS, 'writeDataPoint')
  return () =>
    spy.mock.calls.flatMap(([point]) => {
      const blobs = (point?.blobs ?? []) as string[]
      if (blobs[1] !== 'QUEUE') return []
      return [
        {
          operation: blobs[0],
          status: blobs[2],
          disposition: blobs[11],
          correlationId: blobs[6],
          operationId: blobs[7] ?? '',
        },
      ]
    })
}

const paid = () => Response.json({ paid: true }, { status: 201 })

/** A handler that ends when it is told to. */
function slowHandler() {
  const released = Promise.withResolvers<void>()
  const handler = vi.fn<MessageHandler>(async () => released.promise)
  return {
    handler,
    begun: () => until(() => handler.mock.calls.length > 0),
    release: () => released.resolve(),
  }
}

describe('consume', () => {
  it('does a message once, however often it is delivered', async () => {
    const handler = vi.fn(async () => ({ ok: true }))
    const deliver = consumerWith({ 'order.paid': handler })
    const message = { id: 'a', body: eventOf('once', { order: 1 }) }
    expect(await deliver(message)).toMatchObject({ acked: ['a'], retried: [] })
    expect(await deliver({ ...message, attempts: 2 })).toMatchObject({ acked: ['a'], retried: [] })
    expect(await deliver({ ...message, id: 'b' })).toMatchObject({ acked: ['b'], retried: [] })
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('tells every message of a full batch on its own', async () => {
    const orders: unknown[] = []
    const deliver = consumerWith({
      async 'order.paid'({ payload }) {
        const { order } = payload as { order: number }
        orders.push(order)
        if (order === 41) throw new Error('no')
        if (order === 42) throw new HTTPException(503)
      },
    })
    const batch = Array.from({ length: 100 }, (_, index): Sent => {
      const order = index % 70
      const over = order === 40 ? { type: 'unheard.of' } : {}
      return { id: `full-${index}`, body: eventOf(`full-${order}`, { order }, over) }
    })
    const { acked, retried } = await deliver(...batch)
    expect(retried).toEqual(['full-42'])
    expect(new Set(acked)).toEqual(
      new Set(batch.flatMap(({ id }) => (id === 'full-42' ? [] : [id]))),
    )
    const done = Array.from({ length: 70 }, (_, order) => order).filter((order) => order !== 40)
    expect(orders.toSorted((a, b) => Number(a) - Number(b))).toEqual(done)
    expect((await letterOf('full-40'))?.reason).toContain('no-handler')
    expect((await letterOf('full-41'))?.reason).toBe('outcome-unknown')
    expect(await letterOf('full-42')).toBeNull()
    expect(await letterOf('full-39')).toBeNull()
  })

  it('handles as many at once as it is told to, and no more', async () => {
    let [running, most] = [0, 0]
    const deliver = consumerWith(
      async () => {
        running += 1
        most = Math.max(most, running)
        await scheduler.wait(20)
        running -= 1
      },
      { concurrency: 3 },
    )
    const { acked } = await deliver(
      ...Array.from({ length: 9 }, () => ({ body: eventOf(fresh('busy'), 1) })),
    )
    expect(acked).toHaveLength(9)
    expect(most).toBe(3)
  })

  it('gives a handler the message and what it is about', async () => {
    const handler = vi.fn<MessageHandler>()
    const deliver = consumerWith(handler)
    const sent = eventOf(fresh('given'), { order: 'o' }, { correlationid: 'corr-given' })
    await deliver({ id: 'given', body: sent, attempts: 2 })
    const [message, context] = handler.mock.calls[0] ?? []
    expect(message).toMatchObject({
      id: 'given',
      queue: QUEUE,
      attempts: 2,
      body: sent,
      type: 'order.paid',
      payload: { order: 'o' },
    })
    expect(context).toMatchObject({
      tenant: 'acme',
      correlationId: 'corr-given',
      operationId: expect.stringMatching(/^[\w-]{43}$/),
      attempt: 1,
    })
    expect(context?.key).toBe(context?.operationId)
    expect(context?.env.OPERATIONS).toBeDefined()
  })

  it.each([
    { when: 'nobody takes its type', handlers: { other: () => {} }, expected: /^no-handler: / },
    { when: 'a handler takes every type', handlers: { '*': () => {} }, expected: /^ack$/ },
    { when: 'there is one handler', handlers: () => {}, expected: /^ack$/ },
  ] as { when: string; handlers: Handlers; expected: RegExp }[])(
    'takes what has no handler of its own where $when',
    async ({ handlers, expected }) => {
      const { fateOf } = consumerWith(handlers)
      expect(await fateOf({ body: eventOf(fresh('type'), 1) })).toMatch(expected)
      expect(await fateOf({ body: { tenant: 'acme', id: fresh('untyped') } })).toMatch(expected)
    },
  )

  it('prefers the handler of a type to that of every other', async () => {
    const [own, other] = [vi.fn(), vi.fn()]
    await consumerWith({ 'order.paid': own, '*': other })({ body: eventOf(fresh('own'), 1) })
    expect([own.mock.calls.length, other.mock.calls.length]).toEqual([1, 0])
  })

  it('is asked by the name of the queue', async () => {
    const consumer = consume(() => {}, { tenant: () => 'acme' })
    const worker = createWorker(createGateway({ tenant: fromHeader('X-Tenant') }), {
      queue: { [QUEUE]: consumer },
    })
    const ctx = createExecutionContext()
    const batchOf = (name: string) =>
      createMessageBatch(name, [{ id: name, timestamp: new Date(), attempts: 1, body: name }])
    const batch = batchOf(QUEUE)
    await worker.queue?.(batch, env, ctx)
    expect((await getQueueResult(batch, ctx)).explicitAcks).toEqual([QUEUE])
    await expect(worker.queue?.(batchOf('other'), env, ctx)).rejects.toThrow(
      'Nothing consumes the queue other.',
    )
  })
})

/** Delivers one message to a queue of a Worker. @returns Whether it was acknowledged. */
async function sendTo(worker: ReturnType<typeof createWorker>, to: string, sent: unknown) {
  const batch = createMessageBatch(to, [
    { id: fresh('message'), timestamp: new Date(), attempts: 1, body: sent },
  ])
  const ctx = createExecutionContext()
  await worker.queue?.(batch, env, ctx)
  await waitOnExecutionContext(ctx)
  return (await getQueueResult(batch, ctx)).explicitAcks.length === 1
}

describe('two consumers of one event', () => {
  const gateway = () => createGateway({ tenant: fromHeader('X-Tenant') })

  it.each<{ what: string; options: Partial<ConsumeOptions> }>([
    { what: 'by its id', options: {} },
    { what: 'under one name of the operation', options: { operation: 'placed' } },
    { what: 'by a business key', options: { key: business('/order') } },
    { what: 'by a key of its own', options: { key: attribute('subject') } },
  ])('do it once each, $what', async ({ options }) => {
    const [charge, mail] = [vi.fn(), vi.fn()]
    const read = { tenant: attribute('tenant'), ...options }
    const [charges, mails] = [fresh('charges'), fresh('mails')]
    const worker = createWorker(gateway(), {
      queue: {
        [charges]: consume({ 'order.paid': charge }, read),
        [mails]: consume({ 'order.paid': mail }, read),
      },
    })
    const sent = { ...eventOf(fresh('both'), { order: fresh('order') }), subject: fresh('subject') }
    for (const name of [charges, mails, charges, mails])
      expect(await sendTo(worker, name, sent)).toBe(true)
    expect([charge.mock.calls.length, mail.mock.calls.length]).toEqual([1, 1])
  })

  it('are one where one consumer takes both queues, as that of dead letters', async () => {
    const work = vi.fn()
    const one = consume(work, { tenant: attribute('tenant') })
    const [main, lost] = [fresh('work'), fresh('lost')]
    const worker = createWorker(gateway(), { queue: { [main]: one, [lost]: one } })
    const sent = eventOf(fresh('lost'), {})
    expect(await sendTo(worker, lost, sent)).toBe(true)
    expect(await sendTo(worker, main, sent)).toBe(true)
    expect(work).toHaveBeenCalledOnce()
  })

  it('are one where one consumer takes every queue', async () => {
    const work = vi.fn()
    const worker = createWorker(gateway(), {
      queue: consume(work, { tenant: attribute('tenant') }),
    })
    const sent = eventOf(fresh('every'), {})
    for (const name of ['one', 'other']) expect(await sendTo(worker, name, sent)).toBe(true)
    expect(work).toHaveBeenCalledOnce()
  })

  it('are one by their name, whatever the queues are called by now', async () => {
    const work = vi.fn()
    const read = { tenant: attribute('tenant'), name: fresh('billing') }
    const sent = eventOf(fresh('named'), {})
    for (const name of [fresh('before'), fresh('after')]) {
      const worker = createWorker(gateway(), { queue: { [name]: consume(work, read) } })
      expect(await sendTo(worker, name, sent)).toBe(true)
    }
    expect(work).toHaveBeenCalledOnce()
  })

  it('forward it to a route each', async () => {
    const origin = playOrigin(paid)
    const read = { tenant: attribute('tenant') }
    const [first, second] = [fresh('pay'), fresh('ship')]
    const worker = createWorker(gateway(), {
      queue: {
        [first]: consume(forward('/charges'), read),
        [second]: consume(forward('/parcels'), read),
      },
    })
    const sent = eventOf(fresh('fan-out'), { order: 1 })
    for (const name of [first, second, first, second])
      expect(await sendTo(worker, name, sent)).toBe(true)
    expect(origin.requests.map(({ url }) => new URL(url).pathname)).toEqual([
      '/charges',
      '/parcels',
    ])
  })

  it.each<{
    name: string
    key: KeySource
    ofRequest: string
    ofMessage: NonNullable<ConsumeOptions['key']>
  }>([
    {
      name: 'a webhook’s id',
      key: header('webhook-id'),
      ofRequest: 'webhook-id',
      ofMessage: attribute('id'),
    },
    {
      name: 'a webhook’s id that a function reads',
      key: header('webhook-id'),
      ofRequest: 'webhook-id',
      ofMessage: ({ body: sent }) => (sent as { id: string }).id,
    },
    {
      name: 'a webhook’s id in the payload',
      key: header('webhook-id'),
      ofRequest: 'webhook-id',
      ofMessage: body('/delivery'),
    },
    {
      name: 'an id of the tenant',
      key: header('X-Key'),
      ofRequest: 'X-Key',
      ofMessage: attribute('id'),
    },
  ])('share what is forwarded with the request that has $name', async (row) => {
    const origin = playOrigin(paid)
    const app = gateway()
    const path = `/${fresh('hooks')}`
    app.post(path, protect({ key: row.key }))
    const read = { tenant: asHeader('X-Tenant', attribute('tenant')), key: row.ofMessage }
    const name = fresh('forwarded')
    const worker = createWorker(app, { queue: { [name]: consume(forward(path), read) } })
    const id = fresh('msg')
    const sent = eventOf(id, { delivery: id })
    expect(await sendTo(worker, name, sent)).toBe(true)
    const answer = await clientOf(app, path)('unused', {
      body: JSON.stringify(sent.data),
      headers: { 'X-Tenant': 'acme', [row.ofRequest]: id },
    })
    expect(word(answer)).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it.each<{ how: string; pattern: string; to: string; key: KeySource; name?: string }>([
    { how: 'a value in its path', pattern: '/:to', to: '/{/to}', key: header('webhook-id') },
    { how: 'any value in its path', pattern: '/:to', to: '/crm', key: header('webhook-id') },
    { how: 'any path below', pattern: '/*', to: '/crm', key: header('webhook-id') },
    { how: 'its key in the path', pattern: '/:to', to: '/{/to}', key: param('to') },
    {
      how: 'a name of its own',
      pattern: '/crm',
      to: '/crm',
      key: header('webhook-id'),
      name: fresh('named'),
    },
  ])('share what is forwarded to a route that has $how', async (row) => {
    const { pattern, to, key, name: operation } = row
    const origin = playOrigin(paid)
    const app = gateway()
    const path = `/${fresh('hooks')}`
    app.post(path + pattern, protect({ key, ...(operation !== undefined && { operation }) }))
    const tenant = asHeader('X-Tenant', attribute('tenant'))
    const name = fresh('forwarded')
    const read = { tenant, key: attribute(key.in === 'param' ? 'subject' : 'id') }
    const worker = createWorker(app, { queue: { [name]: consume(forward(path + to), read) } })
    const id = fresh('msg')
    const sent = { ...eventOf(id, { to: 'crm' }), subject: 'crm' }
    expect(await sendTo(worker, name, sent)).toBe(true)
    const answer = await clientOf(app, `${path}/crm`)('unused', {
      body: JSON.stringify(sent.data),
      headers: { 'X-Tenant': 'acme', 'webhook-id': id },
    })
    expect([word(answer), origin.requests.length]).toEqual(['replayed', 1])
  })

  it('do it once each where one forwards it and the other does it here', async () => {
    const origin = playOrigin(paid)
    const mail = vi.fn()
    const read = { tenant: attribute('tenant'), key: attribute('subject') }
    const [charges, mails] = [fresh('charges'), fresh('mails')]
    const worker = createWorker(gateway(), {
      queue: {
        [charges]: consume({ 'order.paid': forward('/payments') }, read),
        [mails]: consume({ 'order.paid': mail }, read),
      },
    })
    const sent = { ...eventOf(fresh('both'), { order: 1 }), subject: fresh('subject') }
    for (const name of [charges, mails, mails, charges])
      expect(await sendTo(worker, name, sent)).toBe(true)
    expect([origin.requests.length, mail.mock.calls.length]).toEqual([1, 1])
  })

  it('share what both forward, with the requests of the route', async () => {
    const origin = playOrigin(paid)
    const read = { tenant: asHeader('X-Tenant', attribute('tenant')), key: attribute('key') }
    const app = gateway()
    app.post('/payments', protect())
    const [first, second] = [fresh('first'), fresh('second')]
    const worker = createWorker(app, {
      queue: {
        [first]: consume(forward('/payments'), read),
        [second]: consume({ '*': forward('/payments') }, read),
      },
    })
    const sent = { tenant: 'acme', key: fresh('key'), amount: 5 }
    for (const name of [first, second]) expect(await sendTo(worker, name, sent)).toBe(true)
    expect(origin.requests).toHaveLength(1)
  })
})

describe('one operation', () => {
  /** Types and shapes of two producers that know nothing of each other. */
  const byShop = (order: string, over: object = {}) =>
    eventOf(fresh('shop'), { order, amount: 5, ...over })
  const byBank = (order: string) => ({
    type: 'charge.settled',
    tenant: 'acme',
    charge: { reference: order, cents: 500 },
  })
  const ofBank = (sent: unknown) => {
    const { reference, cents } = (sent as ReturnType<typeof byBank>).charge
    return { amount: cents / 100, order: reference }
  }
  const shared = { key: business('/order'), tenant: asHeader('X-Tenant', attribute('tenant')) }

  it('is what two sources with one business key ask the origin for', async () => {
    const origin = playOrigin(paid)
    const deliver = consumerWith(
      {
        'order.paid': forward('/payments'),
        'charge.settled': { handle: forward('/payments'), payload: ofBank },
      },
      shared,
    )
    const { acked } = await deliver(
      { id: 's1', body: byShop('o-1') },
      { id: 's2', body: byBank('o-1') },
      { id: 's3', body: byShop('o-2') },
    )
    expect(acked.toSorted()).toEqual(['s1', 's2', 's3'])
    expect(origin.requests).toHaveLength(2)
    expect(await letterOf('s2')).toBeNull()
  })

  it('is what two sources with one business key ask two handlers for', async () => {
    const [shop, bank] = [vi.fn(), vi.fn()]
    const deliver = consumerWith(
      {
        'order.paid': { handle: shop, payload: '/data' },
        'charge.settled': { handle: bank, payload: ofBank },
      },
      { ...shared, request: 'POST /reports' },
    )
    await deliver({ id: 'h1', body: byShop('o-3') })
    const { acked } = await deliver({ id: 'h2', body: byBank('o-3') })
    expect(acked).toEqual(['h2'])
    expect(await letterOf('h2')).toBeNull()
    expect([shop.mock.calls.length, bank.mock.calls.length]).toEqual([1, 0])
  })

  function twins(place: 'origin' | 'worker') {
    const effect = vi.fn()
    playOrigin(() => {
      effect()
      return paid()
    })
    const app = createGateway({ tenant: fromHeader('X-Tenant') })
    const policy = { key: business('/order') }
    if (place === 'origin') app.post('/work', protect(policy))
    else
      app.post('/work', idempotent(policy), (c) => {
        effect()
        return c.json({ by: 'request' })
      })
    const request = (order: string, amount: number) =>
      clientOf(app, '/work')('unused', {
        body: `{ "amount": ${amount}.0, "order": "${order}" }`,
        headers: { 'X-Tenant': 'acme' },
      })
    const handle =
      place === 'origin'
        ? forward('/work')
        : { request: 'POST /work', handle: async () => ({ by: String(effect()) }) }
    const deliver = consumerWith({ 'order.paid': handle }, shared)
    return { effect, request, deliver }
  }

  describe.each(['origin', 'worker'] as const)('done by the %s', (place) => {
    it('is a message after its request', async () => {
      const { effect, request, deliver } = twins(place)
      const order = fresh('request-first')
      expect(word(await request(order, 5))).toBe('executed')
      expect(await deliver.fateOf({ body: byShop(order) })).toBe('ack')
      expect(effect).toHaveBeenCalledTimes(1)
    })

    it('is a request after its message', async () => {
      const { effect, request, deliver } = twins(place)
      const order = fresh('message-first')
      expect(await deliver.fateOf({ body: byShop(order) })).toBe('ack')
      expect(word(await request(order, 5))).toBe('replayed')
      expect(effect).toHaveBeenCalledTimes(1)
    })

    it('is not a request for something else', async () => {
      const { effect, request, deliver } = twins(place)
      const order = fresh('other-request')
      expect(word(await request(order, 6))).toBe('executed')
      expect(await deliver.fateOf({ body: byShop(order) })).toContain('at /amount.')
      expect(effect).toHaveBeenCalledTimes(1)
    })

    it('is not that of another tenant', async () => {
      const { effect, request, deliver } = twins(place)
      const order = fresh('other-tenant')
      await request(order, 5)
      const sent = { ...byShop(order), tenant: 'other' }
      expect(await deliver.fateOf({ body: sent })).toBe('ack')
      expect(effect).toHaveBeenCalledTimes(2)
    })
  })

  it.each([
    { name: 'that has no name', over: {} },
    { name: 'by its name', over: { operation: 'POST /accounts/:account/payments' } },
  ])('is a request on a route with values in its path, $name', async ({ over }) => {
    const origin = playOrigin(paid)
    const app = createGateway({ tenant: fromHeader('X-Tenant') })
    app.post('/accounts/:account/payments', protect({ key: business('/order') }))
    const [order, name] = [fresh('path'), fresh('paid')]
    const handlers = { 'order.paid': forward('/accounts/{/account}/payments') }
    const worker = createWorker(app, {
      queue: { [name]: consume(handlers, { ...shared, ...over }) },
    })
    const data = { order, account: 'a/1' }
    expect(await sendTo(worker, name, eventOf(fresh('e'), data))).toBe(true)
    const response = await clientOf(app, '/accounts/a%2F1/payments')('unused', {
      body: JSON.stringify(data),
      headers: { 'X-Tenant': 'acme' },
    })
    expect(word(response)).toBe('replayed')
    expect(origin.requests.map(({ url }) => new URL(url).pathname)).toEqual([
      '/accounts/a%2F1/payments',
    ])
  })

  it('is a request to an app of your own, with an escape in its path', async () => {
    const origin = playOrigin(paid)
    const app = new Hono()
    app.use(hapax({ tenant: fromHeader('X-Tenant') }))
    app.post('/accounts/:account/payments', protect({ key: business('/order') }))
    const [order, name] = [fresh('escaped'), fresh('paid')]
    const handlers = { 'order.paid': forward('/accounts/{/account}/payments') }
    const worker = createWorker(app, { queue: { [name]: consume(handlers, shared) } })
    const data = { order, account: 'café 1' }
    expect(await sendTo(worker, name, eventOf(fresh('e'), data))).toBe(true)
    const response = await clientOf(app, '/accounts/caf%C3%A9%201/payments')('unused', {
      body: JSON.stringify(data),
      headers: { 'X-Tenant': 'acme' },
    })
    expect([word(response), origin.requests.length]).toEqual(['replayed', 1])
  })

  it.each([
    { with: 'a verified claim', secret: undefined, issuer: 'https://id' },
    { with: 'a verified claim under a secret', secret: 'digest-key-'.repeat(4), issuer: undefined },
  ])('has one tenant with $with', async ({ secret, issuer }) => {
    const origin = playOrigin(paid)
    const over = { HAPAX_DIGEST_KEY: secret }
    const app = createGateway({
      async authenticate(c, next) {
        c.set('jwtPayload', { sub: 7, ...(issuer && { iss: issuer }) })
        await next()
      },
      tenant: claim('sub'),
    })
    app.post('/payments', protect({ key: body('/order') }))
    const order = fresh('claim')
    const deliver = consumerWith(
      { 'order.paid': forward('/payments') },
      { key: body('/order'), tenant: asClaim('sub', attribute('user'), issuer) },
      over,
    )
    expect(await deliver.fateOf({ body: eventOf('e', { order }, { user: 7 }) })).toBe('ack')
    const options = { body: JSON.stringify({ order }), env: over }
    expect(word(await clientOf(app, '/payments')('unused', options))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it.each(['plain', 'with blanks', 'with "quotes" and \\', 'a,b', 'x'.repeat(255)])(
    'has one key: %s',
    async (key) => {
      const origin = playOrigin(paid)
      const app = createGateway({ tenant: fromHeader('X-Tenant') })
      app.post('/payments', protect({ key: header('Idempotency-Key') }))
      const deliver = consumerWith(
        { 'order.paid': forward('/payments') },
        { ...shared, key: attribute('key') },
      )
      expect(await deliver.fateOf({ body: eventOf('e', { a: 1 }, { key }) })).toBe('ack')
      const field = `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`
      const options = { body: '{"a":1}', headers: { 'X-Tenant': 'acme' } }
      expect(word(await clientOf(app, '/payments')(field, options))).toBe('replayed')
      expect(origin.requests).toHaveLength(1)
    },
  )
})

describe('the key of a message', () => {
  const twice = async (options: Partial<ConsumeOptions>, one: Sent, other: Sent) => {
    const handler = vi.fn()
    const { fateOf } = consumerWith(handler, options)
    expect(await fateOf(one)).toBe('ack')
    await fateOf(other)
    return handler.mock.calls.length
  }
  const same = { a: 1 }

  it.each([
    { of: 'an event', over: {}, expected: 1 },
    { of: 'another event', over: { id: 'other' }, expected: 2 },
    { of: 'an event of another source', over: { source: '/other' }, expected: 2 },
    { of: 'an event of another tenant', over: { tenant: 'other' }, expected: 2 },
  ])('is that of $of', async ({ over, expected }) => {
    const sent = eventOf(fresh('e'), same)
    expect(await twice({}, { body: sent }, { body: { ...sent, ...over } })).toBe(expected)
  })

  it('is its own id where it is no event', async () => {
    const sent = { body: { tenant: 'acme', same: true } }
    const id = fresh('m')
    expect(await twice({}, { ...sent, id }, { ...sent, id, attempts: 2 })).toBe(1)
    expect(await twice({}, sent, sent)).toBe(2)
  })

  it.each([
    { where: 'an attribute', key: attribute('k') },
    { where: 'a function', key: ({ body: sent }: ReceivedMessage) => (sent as { k: string }).k },
    { where: 'a string of the payload', key: body('/k') },
    { where: 'values of the payload', key: business('/k', '/n') },
    { where: 'the first that it has', key: [attribute('none'), body('/none'), attribute('k')] },
    {
      where: 'the first of event and message',
      key: [event(), messageId(), attribute('k')],
      expected: 2,
    },
  ])('stands in $where', async ({ key, expected = 1 }) => {
    const sent = { tenant: 'acme', k: fresh('k'), n: 1 }
    expect(await twice({ key }, { body: sent }, { body: sent })).toBe(expected)
    expect(await twice({ key }, { body: sent }, { body: { ...sent, k: fresh('k') } })).toBe(
      expected === 1 ? 1 : 2,
    )
  })

  it.each([
    { are: 'letters of other scripts', one: 'schlüssel-鍵', other: 'schlüssel-匙' },
    {
      are: 'longer than a header field may be',
      one: `${'k'.repeat(300)}a`,
      other: `${'k'.repeat(300)}b`,
    },
    { are: 'alike but for quotes', one: 'quoted', other: '"quoted"' },
    { are: 'alike but for a blank', one: 'blank', other: 'blank ' },
    { are: 'alike but for case', one: 'case', other: 'CASE' },
    { are: 'line breaks', one: 'a\nb', other: 'a\r\nb' },
  ])('is told from another where they are $are', async ({ one, other }) => {
    const bodyOf = (k: string) => ({ body: { tenant: 'keys', k } })
    const key = attribute('k')
    const payload = () => 'the same'
    expect(await twice({ key, payload }, bodyOf(one), bodyOf(one))).toBe(1)
    expect(await twice({ key, payload }, bodyOf(`x${one}`), bodyOf(`x${other}`))).toBe(2)
  })

  it('is told from another where one has quotes around it', async () => {
    const bodyOf = (k: string) => ({ body: { tenant: 'acme', k } })
    const options = { key: attribute('k'), payload: () => 'the same' }
    expect(await twice(options, bodyOf('around'), bodyOf('"around"'))).toBe(2)
  })

  it('makes a message without one a dead letter', async () => {
    const { fateOf } = consumerWith(() => {}, { key: [attribute('k'), business('/k')] })
    expect(await fateOf({ body: eventOf(fresh('e'), same) })).toBe(
      'key-missing: the message has no key where its policy looks for one',
    )
  })
})

describe('a message that can never be done', () => {
  it('is a dead letter that names where it differs, and holds all of it', async () => {
    const handler = vi.fn()
    const { fateOf } = consumerWith(handler)
    const sent = eventOf(fresh('e'), { amount: 1, to: { name: 'ann' } })
    await fateOf({ body: sent })
    const other = { ...sent, data: { amount: 2, to: { name: 'bob' } }, correlationid: 'corr-m' }
    const reason = await fateOf({ id: 'differs', body: other, attempts: 3 })
    expect(reason).toContain('They differ in body, at /amount, /to/name.')
    expect(reason).not.toMatch(/ann|bob/)
    expect(handler).toHaveBeenCalledTimes(1)
    const { bytes: _, ...head } = (await letterOf('differs')) ?? {}
    expect(head).toEqual({
      id: 'work:differs',
      from: 'inbox',
      destination: null,
      type: 'order.paid',
      tenant: 'acme',
      operationId: expect.any(String),
      correlationId: 'corr-m',
      reason,
      decision: 'mismatch',
      attempts: 3,
      at: expect.any(Number),
    })
    expect(await contentOf('differs')).toEqual({
      id: 'differs',
      queue: QUEUE,
      body: other,
      attempts: 3,
      timestamp: expect.any(Date),
    })
  })

  it.each([
    {
      when: 'says nothing of its tenant',
      over: { tenant: undefined },
      expected: /^tenant-missing: /,
    },
    { when: 'has no tenant', over: { tenant: '' }, expected: /^tenant-missing: / },
    { when: 'has bytes that are none', over: { data_base64: '%' }, expected: /^payload-invalid: / },
    {
      when: 'says something twice',
      over: { data: '{"a":1,"a":2}' },
      expected: /^payload-invalid: /,
    },
    { when: 'is half a letter', over: { data: { a: '\uD800' } }, expected: /^payload-invalid: / },
    {
      when: 'is larger than allowed',
      over: { data: 'x'.repeat(65) },
      expected: /^payload-too-large: /,
    },
  ])('is a dead letter where it $when', async ({ over, expected }) => {
    const handler = vi.fn()
    const { fateOf } = consumerWith(handler, { limits: { request: 64 } })
    expect(await fateOf({ body: eventOf(fresh('e'), 1, over) })).toMatch(expected)
    expect(handler).not.toHaveBeenCalled()
  })

  it('is a dead letter where it contains itself', async () => {
    const sent: Record<string, unknown> = { tenant: 'acme' }
    sent['self'] = sent
    expect(await consumerWith(() => {}).fateOf({ id: 'circle', body: sent })).toMatch(
      /^payload-invalid: /,
    )
    const content = (await contentOf('circle')).body as typeof sent
    expect(content['self']).toBe(content)
  })

  it.each([
    { what: 'the path above', value: '..' },
    { what: 'the path above, hidden behind a slash', value: 'a/..' },
    { what: 'the path above, with a parameter', value: '..;a=1' },
    { what: 'this path, hidden before a slash', value: './a' },
    { what: 'the same path', value: '.' },
    { what: 'no letter', value: '' },
    { what: 'nothing', value: undefined },
    { what: 'half a letter', value: '\uDFFF' },
    { what: 'a number that lost digits', value: 2 ** 53 },
    { what: 'a boolean', value: true },
    { what: 'an object', value: { a: 1 } },
  ])('is a dead letter where its path has no place for $what', async ({ value }) => {
    const origin = playOrigin(paid)
    const { fateOf } = consumerWith({ 'order.paid': forward('/orders/{/id}/pay') })
    const data = { id: value, pad: 1 }
    expect(await fateOf({ body: eventOf(fresh('e'), data) })).toMatch(/^payload-invalid: /)
    expect(origin.requests).toHaveLength(0)
  })

  const itself: Record<string, unknown> = {}
  itself['self'] = itself
  it.each([
    { what: 'an error', body: { tenant: 'acme', error: new TypeError('wrong') }, shown: /wrong/ },
    {
      what: 'what nobody can show',
      body: { tenant: 'acme', blob: new Blob(['x']) },
      shown: /Blob/,
    },
    { what: 'itself', body: { tenant: 'acme', ...itself }, shown: /self/ },
    {
      what: 'a name that is none',
      body: JSON.parse('{"tenant":"acme","__proto__":{"a":1}}') as object,
      shown: /__proto__/,
    },
    {
      what: 'more levels than any stack',
      body: JSON.parse(
        `{"tenant":"acme","deep":${'['.repeat(40_000)}${']'.repeat(40_000)}}`,
      ) as object,
      shown: /acme/,
    },
    {
      what: 'levels that can be written and not be read',
      body: JSON.parse(
        `{"tenant":"acme","deep":${'['.repeat(1_500)}${']'.repeat(1_500)}}`,
      ) as object,
      shown: /acme/,
    },
    {
      what: 'no letters',
      body: { tenant: '\uD800', type: '\u0000', correlationid: '\uDFFF' },
      shown: /./,
    },
    { what: 'a long tenant', body: { tenant: 't'.repeat(120_000) }, shown: /ttt/ },
    { what: 'a long type', body: { tenant: 'acme', type: 't'.repeat(120_000) }, shown: /ttt/ },
    { what: 'a long event', body: { ...eventOf('e'.repeat(120_000), 1) }, shown: /eee/ },
    { what: 'nothing', body: undefined, shown: /./ },
    {
      what: 'many values in boxes, each written as twenty times the one byte that it is',
      body: { tenant: 'acme', boxes: Array.from({ length: 127_000 }, () => Object(true)) },
      shown: /Object\(true\)/,
    },
  ])(
    'is a dead letter, shown and replayed, where it holds $what',
    async ({ body: sent, shown }) => {
      const id = fresh('holds')
      const consumer = consume({ never: () => {} }, { tenant: attribute('tenant') })
      expect(await tell(consumer, id, sent)).toBe('ack')
      const letter = await letterOf(id)
      if (letter === null) throw new Error('There is none.')
      expect(letter.reason).toMatch(/^no-handler/)
      const { bytes: _, ...head } = letter
      expect(JSON.stringify(head).length).toBeLessThan(8_192)
      expect(letter.bytes.byteLength).toBeLessThan(2_000_000)
      const text = JSON.stringify(await openLetter(env, letter))
      expect(text).toMatch(shown)
      const ctx = createExecutionContext()
      const message = await contentOf(id)
      const fate = await consumer.redo(message, env, ctx, { mayExecute: true })
      expect(fate).toMatchObject({
        kind: 'dead-letter',
        reason: expect.stringMatching(/^no-handler/),
      })
    },
  )

  it.each([
    { what: 'an error', body: { tenant: 'acme', error: new TypeError('wrong') } },
    {
      what: 'more levels than any stack',
      body: JSON.parse(
        `{"tenant":"acme","deep":${'['.repeat(40_000)}${']'.repeat(40_000)}}`,
      ) as object,
    },
    {
      what: 'levels in text',
      body: `{"tenant":"acme","deep":${'['.repeat(40_000)}${']'.repeat(40_000)}}`,
    },
    { what: 'half a letter in its tenant', body: { tenant: '\uD800' } },
    { what: 'a long tenant', body: { tenant: 't'.repeat(120_000) }, isDone: true },
    { what: 'nothing in its tenant', body: { tenant: '\u0000' }, isDone: true },
    { what: 'a long event', body: { ...eventOf('f'.repeat(120_000), 1) }, isDone: true },
    {
      what: 'a long tie',
      body: { tenant: 'acme', correlationid: 'c'.repeat(100_000) },
      isDone: true,
    },
  ])('is told at once where it holds $what', async ({ body: sent, isDone = false }) => {
    const id = fresh('told')
    const consumer = consume(() => {}, { tenant: attribute('tenant') })
    expect(await tell(consumer, id, sent)).toBe('ack')
    const reason = (await letterOf(id))?.reason ?? 'ack'
    expect(reason).toMatch(isDone ? /^ack$/ : /^payload-invalid/)
  })

  it('has a letter without content where nothing can write it', async () => {
    const id = fresh('unwritten')
    const consumer = consume({ never: () => {} }, { tenant: () => 'acme' })
    const unreadable = {
      get tenant(): string {
        throw new Error('no')
      },
    }
    const message = { id, queue: QUEUE, body: unreadable, attempts: 1, timestamp: new Date() }
    const ctx = createExecutionContext()
    const fate = await consumer.redo(message, env, ctx, { mayExecute: true })
    if (fate.kind !== 'dead-letter') throw new Error('It is one.')
    await buryMessage(env, message, fate)
    const letter = await letterOf(id)
    expect(letter && (await openLetter(env, letter)).content).toMatch(/could not be kept/)
  })

  it('is tried again where its dead letter cannot be kept', async () => {
    const bury = vi.fn(async () => {
      throw new Error('no')
    })
    const broken = { DIRECTORY: { getByName: () => ({ bury }) } }
    const consumer = consume({ other: () => {} }, { tenant: attribute('tenant') })
    const sent = { id: 'unburied', body: eventOf(fresh('e'), 1), attempts: 99 }
    const result = await deliverTo(consumer, [sent], broken)
    expect(result).toMatchObject({ acked: [], retried: ['unburied'] })
    expect(bury).toHaveBeenCalledTimes(1)
    expect((await deliverTo(consumer, [sent])).acked).toEqual(['unburied'])
    expect((await letterOf('unburied'))?.reason).toContain('no-handler')
  })

  it('is a dead letter after all where the first could not be kept, whatever came of it', async () => {
    const broken = { DIRECTORY: { getByName: () => ({ bury: () => Promise.reject(new Error()) }) } }
    const handler = vi.fn(() => {
      throw new HTTPException(422)
    })
    const consumer = consume(handler, { tenant: attribute('tenant') })
    const sent = { id: 'later', body: eventOf(fresh('e'), 1) }
    expect((await deliverTo(consumer, [sent], broken)).retried).toEqual(['later'])
    expect((await deliverTo(consumer, [{ ...sent, attempts: 2 }])).acked).toEqual(['later'])
    expect((await letterOf('later'))?.reason).toBe('failed')
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it.each([
    { how: 'sealed, where there is a secret', secret: 's'.repeat(32), isReadable: false },
    { how: 'in clear, where there is none', secret: undefined, isReadable: true },
  ])('is kept $how', async ({ secret, isReadable }) => {
    const over = { HAPAX_SEAL_KEY: secret }
    const { fateOf } = consumerWith({ other: () => {} }, {}, over)
    const id = fresh('sealed')
    const sent = eventOf(id, { card: 'marked-card' })
    await fateOf({ id, body: sent })
    const stored = await runInDurableObject(directory(), (_, { storage }) =>
      storage.sql.exec('SELECT head, bytes FROM letter WHERE id = ?', `${QUEUE}:${id}`).one(),
    )
    expect(stored['head']).not.toContain('marked-card')
    const bytes = new TextDecoder().decode(stored['bytes'] as ArrayBuffer)
    expect(bytes.includes('marked-card')).toBe(isReadable)
    expect((await contentOf(id, over)).body).toEqual(sent)
  })
})

describe('a message that can be tried again', () => {
  const unavailable = () => {
    throw new HTTPException(503)
  }

  it.each([
    { attempts: 1, options: {}, expected: 3 },
    { attempts: 3, options: {}, expected: 10 },
    { attempts: 1, options: { retry: { base: '8s' } }, expected: 4 },
    { attempts: 3, options: { retry: { base: '1s', cap: '3s' } }, expected: 2 },
    { attempts: 2, options: { retry: { base: '12h', cap: '12h' } }, expected: 21_600 },
    { attempts: 1, options: { retry: { base: 0 } }, expected: 0 },
  ] as const)('comes back as $options says', async ({ attempts, options, expected }) => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    const deliver = consumerWith(unavailable, options)
    const { retried, delays } = await deliver({ body: eventOf(fresh('e'), 1), attempts })
    expect(retried).toHaveLength(1)
    expect(delays).toEqual([expected])
  })

  it.each([
    { status: 429, headers: { 'Retry-After': '90' }, options: {}, expected: 90 },
    { status: 503, headers: { 'retry-after-ms': '90500' }, options: {}, expected: 91 },
    { status: 500, headers: { 'Retry-After': '90' }, options: { unknown: 'resend' }, expected: 90 },
    { status: 429, headers: { 'Retry-After': '86400' }, options: {}, expected: 3_600 },
    { status: 429, headers: { 'Retry-After': '1' }, options: {}, expected: 10 },
  ] as const)(
    'is not delivered again before $status with $headers wants it: $expected s',
    async ({ status, headers, options, expected }) => {
      vi.spyOn(Math, 'random').mockReturnValue(0.999_999)
      playOrigin(() => new Response('', { status, headers }))
      const retry = { base: '10s', cap: '10s' } as const
      const own = vi.fn(() => new Response('', { status, headers }))
      for (const handler of [own, forward('/later')]) {
        const deliver = consumerWith({ 'order.paid': handler }, { retry, ...options })
        expect(await deliver({ body: eventOf(fresh('e'), 1) })).toMatchObject({
          delays: [expected],
        })
      }
    },
  )

  it.each([
    { of: 'the default', options: {}, over: {}, expected: 30 },
    { of: 'all messages', options: { lease: '45s' }, over: {}, expected: 45 },
    { of: 'its type', options: { lease: '45s' }, over: { lease: '90s' }, expected: 90 },
  ] as const)('comes back after the lease of $of while another runs', async (row) => {
    const { handler, begun, release } = slowHandler()
    const deliver = consumerWith(
      { 'order.paid': { handle: handler, ...row.over } },
      { wait: 0, retry: { base: 0 }, ...row.options },
    )
    const sent = eventOf(fresh('e'), 1)
    const first = deliver({ id: 'runs', body: sent })
    await begun()
    const second = await deliver({ id: 'waits', body: sent })
    expect(second).toMatchObject({ acked: [], retried: ['waits'], delays: [row.expected] })
    release()
    expect((await first).acked).toEqual(['runs'])
    expect((await deliver({ id: 'waits', body: sent, attempts: 2 })).acked).toEqual(['waits'])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it.each<{ where: string; handle: (work: MessageHandler) => Handlers }>([
    { where: 'a handler in the Worker', handle: (work) => work },
    { where: 'the origin', handle: () => forward('/payments') },
  ])(
    'is left to the message that does it when its deliveries are used up: by $where',
    async ({ handle }) => {
      const origin = playSlowOrigin(paid)
      const { handler, begun, release } = slowHandler()
      const handlers = handle(handler)
      const deliver = consumerWith(handlers, { wait: 0, retry: { base: 0 } })
      const sent = eventOf(fresh('e'), 1)
      const [first, other] = [fresh('first'), fresh('other')]
      const done = deliver({ id: first, body: sent })
      await (handlers === handler ? begun() : origin.asked())
      for (const attempts of [1, 2, 3]) {
        const { retried, delays } = await deliver({ id: other, body: sent, attempts })
        expect([retried, delays]).toEqual([[other], [30]])
      }
      expect((await deliver({ id: other, body: sent, attempts: 4 })).acked).toEqual([other])
      release()
      origin.release()
      expect((await done).acked).toEqual([first])
      expect(handler.mock.calls.length + origin.requests.length).toBe(1)
      expect([await letterOf(first), await letterOf(other)]).toEqual([null, null])
    },
  )

  it('is done, or becomes a letter, by the message that it was left to', async () => {
    const gate = Promise.withResolvers<void>()
    const handler = vi.fn(async () => {
      await gate.promise
      throw new HTTPException(503)
    })
    const deliver = consumerWith(handler, { wait: 0, retry: { base: 0 } })
    const sent = eventOf(fresh('e'), 1)
    const [first, other] = [fresh('first'), fresh('other')]
    const begun = deliver({ id: first, body: sent, attempts: 2 })
    await until(() => handler.mock.calls.length > 0)
    expect((await deliver({ id: other, body: sent, attempts: 4 })).acked).toEqual([other])
    gate.resolve()
    expect((await begun).retried).toEqual([first])
    for (const attempts of [3, 4]) await deliver({ id: first, body: sent, attempts })
    expect(handler).toHaveBeenCalledTimes(3)
    expect((await letterOf(first))?.reason).toBe('retries-exhausted: not-executed')
  })

  it.each([3, 4])('is not left to a message that may be lost: at its delivery %i', async (at) => {
    const { handler, begun, release } = slowHandler()
    const deliver = consumerWith(handler, { wait: 0, retry: { base: 0 } })
    const sent = eventOf(fresh('e'), 1)
    const [first, other] = [fresh('first'), fresh('other')]
    const done = deliver({ id: first, body: sent, attempts: at })
    await begun()
    expect(await deliver({ id: other, body: sent, attempts: 3 })).toMatchObject({ delays: [930] })
    expect((await deliver({ id: other, body: sent, attempts: 4 })).retried).toEqual([other])
    release()
    expect((await done).acked).toEqual([first])
  })

  it('comes back when its own handler must have ended, and is not acknowledged before', async () => {
    const { handler, begun, release } = slowHandler()
    const deliver = consumerWith(handler, { wait: 0, timeout: '20ms', retry: { base: 0 } })
    const own = { id: fresh('own'), body: eventOf(fresh('e'), 1) }
    const first = deliver(own)
    await begun()
    const delays: (number | undefined)[] = []
    for (const attempts of [2, 3, 4]) {
      const again = await deliver({ ...own, attempts })
      expect(again.acked).toEqual([])
      delays.push(...again.delays)
    }
    // The timer of the first delivery began before this one, and ends before it.
    await scheduler.wait(20)
    release()
    expect(await first).toMatchObject({ retried: [own.id], delays: [30] })
    expect(delays).toEqual([30, 930, 930])
    expect((await deliver({ ...own, attempts: 5 })).acked).toEqual([own.id])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('is not left to a request, which its client may give up', async () => {
    const { handler, begun, release } = slowHandler()
    const app = createGateway({ tenant: fromHeader('X-Tenant') })
    app.post('/reports', idempotent({ wait: 0 }), async (c) => {
      await handler({} as never, {} as never)
      return c.body(null, 204)
    })
    const key = fresh('key')
    const ctx = createExecutionContext()
    const headers = {
      'X-Tenant': 'acme',
      'Idempotency-Key': key,
      'Content-Type': 'application/json',
    }
    const request = new Request('https://gateway.test/reports', {
      method: 'POST',
      headers,
      body: '{"a":1}',
    })
    const asked = app.fetch(request, env, ctx)
    await begun()
    const deliver = consumerWith(
      { 'order.paid': { handle: () => {}, request: 'POST /reports' } },
      { wait: 0, key: attribute('id'), tenant: asHeader('X-Tenant', attribute('tenant')) },
    )
    const sent = eventOf(key, { a: 1 })
    expect(await deliver({ id: 'late', body: sent, attempts: 3 })).toMatchObject({ delays: [930] })
    expect((await deliver({ id: 'late', body: sent, attempts: 4 })).retried).toEqual(['late'])
    release()
    expect((await asked).status).toBe(204)
    await waitOnExecutionContext(ctx)
  })

  it('is not left to the message that it was before its queue moved it', async () => {
    const { handler, begun, release } = slowHandler()
    const consumer = consume(handler, { tenant: attribute('tenant'), wait: 0, name: fresh('both') })
    const sent = eventOf(fresh('e'), 1)
    const first = deliverTo(consumer, [{ id: fresh('first'), body: sent }])
    await begun()
    const moved = { id: fresh('moved'), timestamp: new Date(), attempts: 4, body: sent }
    const batch = createMessageBatch('work-lost', [moved])
    const ctx = createExecutionContext()
    await consumer(batch, env, ctx)
    const { explicitAcks, retryMessages } = await getQueueResult(batch, ctx)
    expect([explicitAcks, retryMessages.length]).toEqual([[], 1])
    release()
    expect((await first).acked).toHaveLength(1)
  })

  it.each<{ where: string; handle: (answer: () => Response) => Handlers }>([
    { where: 'a handler in the Worker', handle: (answer) => answer },
    { where: 'the origin', handle: () => forward('/payments') },
  ])('is not done with an answer that says "not yet" after a doubt: $where', async ({ handle }) => {
    const answers = [500, 409, 425, 503, 201]
    const answer = vi.fn(() => new Response('x', { status: answers.shift() ?? 201 }))
    playOrigin(answer)
    const { fateOf } = consumerWith(handle(answer), { unknown: 'resend', retry: { attempts: 9 } })
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    const fates: string[] = []
    for (const attempts of [1, 2, 3, 4, 5, 6]) fates.push(await fateOf({ ...sent, attempts }))
    expect(fates).toEqual(['retry', 'retry', 'retry', 'retry', 'ack', 'ack'])
    expect(answer).toHaveBeenCalledTimes(5)
  })

  it.each([
    { answer: 409, headers: {}, expected: 'failed' },
    { answer: 409, headers: { 'Retry-After': '1' }, expected: 'retry' },
    { answer: 409, headers: { 'X-Should-Retry': 'true' }, expected: 'retry' },
    { answer: 422, headers: {}, expected: 'failed' },
    { answer: 425, headers: {}, expected: 'retry' },
    { answer: 429, headers: {}, expected: 'retry' },
    { answer: 503, headers: {}, expected: 'retry' },
  ])('is $expected where its handler answers $answer with $headers', async (row) => {
    const { answer: status, headers, expected } = row
    const { fateOf } = consumerWith(() => new Response('x', { status, headers }))
    expect(await fateOf({ body: eventOf(fresh('e'), 1) })).toBe(expected)
  })

  it('waits for another that ends in time', async () => {
    const { handler, begun, release } = slowHandler()
    const deliver = consumerWith(handler)
    const sent = eventOf(fresh('e'), 1)
    const first = deliver({ body: sent })
    await begun()
    const second = deliver({ id: 'joins', body: sent })
    await scheduler.wait(50)
    release()
    expect([(await first).retried, (await second).acked]).toEqual([[], ['joins']])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it.each([
    { attempts: 3, options: {}, expected: 'retry' },
    { attempts: 4, options: {}, expected: 'retries-exhausted: not-executed' },
    { attempts: 1, options: { retry: { attempts: 2 } }, expected: 'retry' },
    {
      attempts: 2,
      options: { retry: { attempts: 2 } },
      expected: 'retries-exhausted: not-executed',
    },
    {
      attempts: 1,
      options: { retry: { attempts: 1 } },
      expected: 'retries-exhausted: not-executed',
    },
  ])(
    'is $expected at delivery $attempts with $options',
    async ({ attempts, options, expected }) => {
      const { fateOf } = consumerWith(unavailable, options)
      expect(await fateOf({ body: eventOf(fresh('e'), 1), attempts })).toBe(expected)
    },
  )

  it.each([
    { attempts: 3, expected: 'retry' },
    { attempts: 4, expected: 'retries-exhausted: fault' },
  ])('is $expected at delivery $attempts where it cannot be read', async (row) => {
    const { fateOf } = consumerWith(() => {}, {
      tenant: () => {
        throw new Error('no')
      },
    })
    expect(await fateOf({ body: 1, attempts: row.attempts })).toBe(row.expected)
  })

  it('waits for a deployment that is mended', async () => {
    const { fateOf } = consumerWith(() => {}, { snapshot: { seal: true } })
    expect(await fateOf({ body: eventOf(fresh('e'), 1) })).toBe('retry')
  })
})

describe('the end of a handler', () => {
  const endOf = (handler: MessageHandler, options: Partial<ConsumeOptions> = {}) =>
    consumerWith(handler, options).fateOf({ body: eventOf(fresh('e'), 1) })

  it.each([
    { what: 'returns nothing', handler: () => {}, expected: 'ack' },
    { what: 'returns a value', handler: async () => ({ a: 1 }), expected: 'ack' },
    {
      what: 'returns a response',
      handler: () => new Response('x', { status: 202 }),
      expected: 'ack',
    },
    { what: 'returns 404', handler: () => new Response('x', { status: 404 }), expected: 'failed' },
    { what: 'returns 503', handler: () => new Response('x', { status: 503 }), expected: 'retry' },
    {
      what: 'returns 500',
      handler: () => new Response('x', { status: 500 }),
      expected: 'outcome-unknown',
    },
    {
      what: 'returns what JSON cannot hold',
      handler: () => ({ a: 1n }),
      expected: 'outcome-unknown',
    },
  ] as { what: string; handler: MessageHandler; expected: string }[])(
    'that $what is $expected',
    async ({ handler, expected }) => {
      expect(await endOf(handler)).toBe(expected)
    },
  )

  it.each([
    { error: new HTTPException(503), expected: 'retry' },
    { error: new HTTPException(429), expected: 'retry' },
    { error: new HTTPException(422), expected: 'failed' },
    { error: new HTTPException(500), expected: 'outcome-unknown' },
    { error: new NotExecuted(), expected: 'retry' },
    { error: new NotExecuted('no', { status: 422 }), expected: 'retry' },
    { error: new TypeError('no'), expected: 'outcome-unknown' },
    { error: 'no', expected: 'outcome-unknown' },
  ])('that throws $error is $expected', async ({ error, expected }) => {
    const handler = () => {
      // oxlint-disable-next-line typescript/only-throw-error -- a handler may
      throw error
    }
    expect(await endOf(handler)).toBe(expected)
  })

  it('that throws NotExecuted waits as long as that says', async () => {
    const deliver = consumerWith(() => {
      throw new NotExecuted('later', { retryAfter: '20m' })
    })
    const { delays } = await deliver({ body: eventOf(fresh('e'), 1) })
    expect(delays).toEqual([1_200])
  })

  it.each([
    { vars: {}, isShown: false },
    { vars: { HAPAX_LOG_ERRORS: 'true' }, isShown: true },
  ])('that throws is reported, with its message where $vars', async ({ vars, isShown }) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const error = new TypeError('MARKED-bug')
    const handler = () => {
      throw error
    }
    const onError = vi.fn<ErrorHook>()
    const { fateOf } = consumerWith({ 'order.paid': handler }, { onError }, vars)
    const order = eventOf(fresh('e'), 1, { correlationid: 'of-the-event' })
    expect(await fateOf({ body: order })).toBe('outcome-unknown')
    const facts = {
      operation: 'order.paid',
      operationId: expect.any(String),
      attempt: 1,
      tenant: 'acme',
      correlationId: 'of-the-event',
    }
    expect(onError.mock.calls).toEqual([[error, facts]])
    const text = log.mock.calls.join()
    expect(text).toContain('"reason":"TypeError","operation":"order.paid"')
    expect(text.includes('MARKED-bug')).toBe(isShown)
  })

  it('means what the policy says of its status', async () => {
    const handler = () => new Response('x', { status: 404 })
    expect(await endOf(handler, { outcomes: { '404': 'succeeded' } })).toBe('ack')
  })

  it('that is unknown is done again where the policy says so', async () => {
    const handler = vi.fn(() => {
      if (handler.mock.calls.length === 1) throw new Error('no')
    })
    const { fateOf } = consumerWith(handler, { unknown: 'resend' })
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    expect(await fateOf(sent)).toBe('retry')
    expect(await fateOf({ ...sent, attempts: 2 })).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(2)
  })

  it('that is unknown and held is never done again', async () => {
    const handler = vi.fn(() => {
      throw new Error('no')
    })
    const { fateOf } = consumerWith(handler)
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    expect(await fateOf(sent)).toBe('outcome-unknown')
    expect(await fateOf({ ...sent, id: fresh('m') })).toBe('outcome-unknown')
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('leaves what it has emitted with its result, and only then', async () => {
    const points = watchPoints()
    const outbox = vi.spyOn(OUTBOX, 'send').mockResolvedValue(undefined as never)
    const deliver = consumerWith((message, ctx) => {
      ctx.emit({ type: 'report.made', data: message.payload, to: queue('OUTBOX') })
      if (message.payload === 'bad') throw new Error('no')
      if (message.payload === 'later') throw new HTTPException(503)
    })
    for (const data of ['good', 'bad', 'later']) await deliver({ body: eventOf(fresh('e'), data) })
    for (const { operationId } of points())
      await runDurableObjectAlarm(env.OPERATIONS.getByName(operationId))
    await until(() => outbox.mock.calls.length > 0)
    expect(outbox.mock.calls.map(([sent]) => sent)).toEqual([
      expect.objectContaining({ type: 'report.made', data: 'good', tenant: 'acme' }),
    ])
  })

  it('is not for emit() without its context', async () => {
    const { fateOf } = consumerWith((_, ctx) => {
      emit(ctx as never, { type: 'x', to: queue('OUTBOX') })
    })
    expect(await fateOf({ body: eventOf(fresh('e'), 1) })).toBe('outcome-unknown')
  })
})

describe('a delivery that is lost', () => {
  it.each([
    { under: 'hold', calls: 1, expected: 'outcome-unknown' },
    { under: 'resend', calls: 2, expected: 'ack' },
  ] as const)('while its handler runs is $expected under $under', async (row) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const { handler, begun, release } = slowHandler()
    handler.mockImplementationOnce(handler.getMockImplementation() as MessageHandler)
    const { fateOf, ...rest } = consumerWith(handler, { unknown: row.under })
    expect(rest).toEqual({})
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    const first = fateOf(sent)
    await begun()
    handler.mockImplementation(() => {})
    vi.setSystemTime(Date.now() + 31_000)
    expect(await fateOf({ ...sent, attempts: 2 })).toBe(row.expected)
    expect(handler).toHaveBeenCalledTimes(row.calls)
    release()
    // The late owner's result counts where nobody has taken over; its letter stays for the operator.
    await first
    expect(await fateOf({ ...sent, id: fresh('m'), attempts: 3 })).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(row.calls)
  })

  it.each([
    { under: 'hold', calls: 1, expected: 'outcome-unknown' },
    { under: 'resend', calls: 2, expected: 'ack' },
  ] as const)('while the origin works is $expected under $under', async (row) => {
    const origin = playSlowOrigin(paid)
    const { fateOf } = consumerWith({ 'order.paid': forward('/payments') }, { unknown: row.under })
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    const first = fateOf(sent)
    await origin.asked()
    await abortAllDurableObjects()
    origin.release()
    await first
    expect(await fateOf({ ...sent, attempts: 2 })).toBe(row.expected)
    expect(origin.requests).toHaveLength(row.calls)
  })

  it('with the object of a handler that still runs is done once', async () => {
    const { handler, begun, release } = slowHandler()
    const { fateOf } = consumerWith(handler)
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    const first = fateOf(sent)
    await begun()
    await abortAllDurableObjects()
    release()
    expect(await first).toBe('ack')
    expect(await fateOf({ ...sent, attempts: 2 })).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(1)
  })
})

describe('a message that is forwarded', () => {
  /** Bodies are read where they come: no other object may read them. */
  function playReader() {
    const texts: string[] = []
    const origin = playOrigin(async (request) => {
      texts.push(await request.text())
      return paid()
    })
    return { ...origin, texts }
  }

  /** An origin whose answer comes bit by bit, to the end that the test tells. */
  function playStream(status: number) {
    const state = { end: 'open' }
    const origin = playOrigin(() => {
      const { readable, writable } = new IdentityTransformStream()
      const writer = writable.getWriter()
      const write = async () => {
        await writer.write(new TextEncoder().encode('begun'))
        while (state.end === 'open') await scheduler.wait(10)
        if (state.end === 'closed') await writer.close()
        else await writer.abort(new Error('gone'))
      }
      write().catch(() => {})
      return new Response(readable, { status })
    })
    return { ...origin, end: (how: 'closed' | 'broken') => void (state.end = how) }
  }

  it('is to the origin what a request would be', async () => {
    const origin = playReader()
    const deliver = consumerWith({
      'order.paid': forward('/orders/{/id}/pay?by={/by~1whom}', { method: 'PUT' }),
    })
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const data = { id: 'o 1/2', 'by/whom': 5 }
    const ties = { correlationid: 'corr-forward', traceparent: trace }
    await deliver({ body: eventOf(fresh('e'), data, ties) })
    const [request] = origin.requests
    expect(request?.method).toBe('PUT')
    expect(new URL(request?.url ?? '').pathname).toBe('/orders/o%201%2F2/pay')
    expect(new URL(request?.url ?? '').search).toBe('?by=5')
    expect(JSON.parse(origin.texts[0] ?? '')).toEqual(data)
    const headers = Object.fromEntries(request?.headers ?? [])
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'x-correlation-id': 'corr-forward',
      traceparent: trace,
      'idempotency-attempt': '1',
      'idempotency-key': expect.any(String),
    })
    expect(Object.keys(headers).filter((name) => name.startsWith('hapax-'))).toEqual([])
  })

  it.each([
    { of: 'text', data: { data: 'hello' }, type: 'text/plain; charset=utf-8', expected: 'hello' },
    { of: 'JSON', data: { data: [1] }, type: 'application/json', expected: '[1]' },
    {
      of: 'bytes',
      data: { data_base64: btoa('\0\xFF') },
      type: 'application/octet-stream',
      expected: '\0\uFFFD',
    },
  ])('has the type of $of', async ({ data, type, expected }) => {
    const origin = playReader()
    const { data: _, ...rest } = eventOf(fresh('e'), null)
    await consumerWith(forward('/payments'))({ body: { ...rest, ...data } })
    const [request] = origin.requests
    expect(request?.headers.get('content-type')).toBe(type)
    expect(origin.texts).toEqual([expected])
  })

  it.each([
    { status: 201, expected: 'ack' },
    { status: 422, expected: 'failed' },
    { status: 503, expected: 'retry' },
    { status: 500, expected: 'outcome-unknown' },
  ])('is $expected when the origin answers $status', async ({ status, expected }) => {
    playOrigin(() => Response.json({ a: 1 }, { status, headers: { 'Content-Length': '7' } }))
    const { fateOf } = consumerWith(forward('/payments'))
    expect(await fateOf({ body: eventOf(fresh('e'), 1) })).toBe(expected)
  })

  it.each([
    { status: 200, expected: 'ack' },
    { status: 422, expected: 'failed' },
  ])('is $expected when $status has come to its end, and not before', async (row) => {
    const origin = playStream(row.status)
    const { fateOf } = consumerWith(forward('/payments'))
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    let fate: string | null = null
    const done = fateOf(sent).then((end) => (fate = end))
    await until(() => origin.requests.length > 0)
    await scheduler.wait(100)
    expect(fate).toBeNull()
    origin.end('closed')
    expect(await done).toBe(row.expected)
    expect(await fateOf({ ...sent, attempts: 2 })).toBe(row.expected)
    expect(origin.requests).toHaveLength(1)
  })

  it('does not keep the next one waiting for an answer that never ends', async () => {
    const state = { isOpen: true }
    const origin = playOrigin(async (request) => {
      if (!request.url.endsWith('/drips')) return paid()
      const { readable, writable } = new IdentityTransformStream()
      const writer = writable.getWriter()
      const drip = async () => {
        while (state.isOpen) {
          await writer.write(new TextEncoder().encode('.'))
          await scheduler.wait(20)
        }
        await writer.close()
      }
      drip().catch(() => {})
      return new Response(readable, { status: 201 })
    })
    const points = watchPoints()
    const consumer = consume(
      { 'order.paid': forward('/{/path}') },
      { tenant: attribute('tenant'), timeout: '200ms', concurrency: 1, wait: 0 },
    )
    const [drips, fine] = [fresh('drips'), fresh('fine')]
    const sent = [drips, fine].map((id) => ({
      id,
      body: eventOf(id, { path: id === drips ? 'drips' : 'payments' }),
    }))
    expect(await deliverTo(consumer, sent)).toMatchObject({ acked: [fine], retried: [drips] })
    expect(points().map(({ disposition }) => disposition)).toEqual(['retry', 'ack'])
    // The object records on, without anybody who reads it.
    state.isOpen = false
    await until(async () => {
      const { acked } = await deliverTo(consumer, [{ id: drips, attempts: 2, body: sent[0]?.body }])
      return acked.length > 0
    })
    expect(await letterOf(drips)).toBeNull()
    expect(origin.requests).toHaveLength(2)
  })

  it('does not keep the next one waiting for an origin that answers nothing', async () => {
    const origin = playSlowOrigin(paid)
    const points = watchPoints()
    const hanging = {
      ...env,
      OPERATIONS: { getByName: () => ({ execute: () => new Promise(() => {}) }) },
    }
    const consumer = consume(forward('/payments'), {
      tenant: attribute('tenant'),
      timeout: '50ms',
      concurrency: 1,
    })
    const sent = [fresh('one'), fresh('two')].map((id) => ({ id, body: eventOf(id, 1) }))
    const { retried, delays } = await deliverTo(consumer, sent, hanging)
    expect(retried).toHaveLength(2)
    expect(delays.every((seconds = 0) => seconds >= 30)).toBe(true)
    expect(points()).toMatchObject([
      { operation: 'POST /payments', status: 'in-progress', disposition: 'retry' },
      { operation: 'POST /payments', status: 'in-progress', disposition: 'retry' },
    ])
    origin.release()
  })

  it('is unknown when its answer breaks off', async () => {
    const origin = playStream(200)
    const { fateOf } = consumerWith(forward('/payments'))
    const sent = { id: fresh('m'), body: eventOf(fresh('e'), 1) }
    const done = fateOf(sent)
    await until(() => origin.requests.length > 0)
    origin.end('broken')
    expect(await done).toBe('outcome-unknown')
    expect(await fateOf({ ...sent, attempts: 2 })).toBe('outcome-unknown')
    expect(origin.requests).toHaveLength(1)
  })
})

describe('the body of a message', () => {
  it.each([
    { of: 'JSON', sent: { a: [1, 'x', null] } },
    { of: 'text', sent: 'hello' },
    { of: 'bytes', sent: new Uint8Array([0, 255]).buffer },
    {
      of: 'v8',
      sent: {
        map: new Map([['a', new Date(5)]]),
        set: new Set([1]),
        large: 9_007_199_254_740_993n,
        none: Number.NaN,
        bytes: new Uint8Array([1]).buffer,
      },
    },
  ])('may be $of', async ({ sent }) => {
    const handler = vi.fn<MessageHandler>()
    const { fateOf } = consumerWith(handler, { tenant: () => 'acme', key: () => fresh('once') })
    expect(await fateOf({ body: sent })).toBe('ack')
    expect(handler.mock.calls[0]?.[0].payload).toEqual(sent)
    const other = consumerWith({ other: () => {} }, { tenant: () => 'acme' })
    const id = fresh('kept')
    await other.fateOf({ id, body: sent })
    expect((await contentOf(id)).body).toEqual(sent)
  })

  it.each([
    { of: 'dates', one: { at: new Date(0) }, other: { at: new Date(1) } },
    { of: 'maps', one: { m: new Map([[1, 2]]) }, other: { m: new Map([[1, 3]]) } },
    { of: 'bytes', one: new Uint8Array([1]).buffer, other: new Uint8Array([2]).buffer },
    { of: 'numbers in text', one: '{"n":9007199254740993}', other: '{"n":9007199254740992}' },
    { of: 'letters', one: 'a', other: 'A' },
  ])('is compared: $of', async ({ one, other }) => {
    const key = fresh('compared')
    const { fateOf } = consumerWith(() => {}, { tenant: () => 'acme', key: () => key })
    expect(await fateOf({ body: one })).toBe('ack')
    expect(await fateOf({ body: structuredClone(one) })).toBe('ack')
    expect(await fateOf({ body: other })).toContain('They differ in body')
  })

  it('is one whatever the order of its members and the form of its numbers', async () => {
    const key = fresh('compared')
    const { fateOf } = consumerWith(() => {}, { tenant: () => 'acme', key: () => key })
    expect(await fateOf({ body: { a: 1, b: [2] } })).toBe('ack')
    expect(await fateOf({ body: '{"b":[2.0],"a":1e0}' })).toBe('ack')
  })

  it('has its key beside what JSON cannot hold', async () => {
    const handler = vi.fn()
    const { fateOf } = consumerWith(handler, {
      key: business('/order'),
      fingerprint: { ignore: ['/at'] },
    })
    const order = fresh('o')
    expect(await fateOf({ body: { tenant: 'acme', order, at: new Date(0) } })).toBe('ack')
    expect(await fateOf({ body: { tenant: 'acme', order, at: new Date(1) } })).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('may be an event that was sent as text', async () => {
    const handler = vi.fn()
    const { fateOf } = consumerWith({ 'order.paid': handler })
    const sent = eventOf(fresh('e'), { n: 1 })
    const points = watchPoints()
    expect(await fateOf({ body: JSON.stringify({ ...sent, correlationid: 'corr-text' }) })).toBe(
      'ack',
    )
    expect(await fateOf({ body: sent })).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(1)
    expect(points()[0]?.correlationId).toBe('corr-text')
  })
})

describe('what is seen of a message', () => {
  it('is one point with what became of it', async () => {
    const points = watchPoints()
    const { fateOf } = consumerWith({
      ok: () => {},
      later: () => {
        throw new HTTPException(503)
      },
      never: () => {
        throw new HTTPException(422)
      },
    })
    for (const type of ['ok', 'later', 'never', 'unheard']) {
      const over = { type, correlationid: `corr-${type}` }
      await fateOf({ body: eventOf(fresh('e'), 1, over) })
    }
    expect(points()).toMatchObject([
      { operation: 'ok', status: 'executed', disposition: 'ack', correlationId: 'corr-ok' },
      { operation: 'later', status: 'not-executed', disposition: 'retry' },
      { operation: 'never', status: 'executed', disposition: 'dead-letter' },
      {
        operation: QUEUE,
        status: 'rejected',
        disposition: 'dead-letter',
        correlationId: 'corr-unheard',
      },
    ])
  })

  it('is a point of its end also where it could not be read', async () => {
    const points = watchPoints()
    const { fateOf } = consumerWith(() => {}, {
      tenant: () => {
        throw new Error('no')
      },
    })
    await fateOf({ body: 1 })
    await fateOf({ body: 1, attempts: 4 })
    expect(points().map(({ disposition }) => disposition)).toEqual(['retry', 'dead-letter'])
  })

  it('is never its key, its body or what a handler says of them', async () => {
    const written: unknown[] = []
    for (const level of ['log', 'error', 'warn', 'info', 'debug'] as const)
      vi.spyOn(console, level).mockImplementation((...said) => void written.push(said))
    const point = vi.spyOn(env.METRICS, 'writeDataPoint')
    const key = 'MARKED-key'
    const sent = { tenant: 'acme', type: 'ok', key, card: 'MARKED-card' }
    const handlers: Handlers = {
      ok: () => ({ card: 'MARKED-result' }),
      threw({ payload }) {
        throw new Error(JSON.stringify(payload))
      },
      refused: () => {
        throw new HTTPException(422, { message: 'MARKED-refusal' })
      },
    }
    const deliver = consumerWith(handlers, { key: attribute('key') })
    await deliver({ body: sent }, { body: { ...sent, card: 'MARKED-other' } })
    await deliver({ body: { ...sent, key: 'MARKED-2', type: 'threw' } })
    await deliver({ body: { ...sent, key: 'MARKED-3', type: 'refused' } })
    await deliver({ body: { ...sent, key: 'MARKED-ö', type: 'unheard' } })
    await deliver({ body: { ...sent, key: 'MARKED-4', type: 'ok', card: '\uD800MARKED' } })
    const parsing = ({ body: sentText }: ReceivedMessage) =>
      JSON.parse(sentText as string) as string
    const text = { body: 'MARKED-text' }
    expect((await consumerWith(() => {}, { tenant: parsing })(text)).retried).toHaveLength(1)
    const keyed = consumerWith(() => {}, { tenant: () => 'acme', key: parsing })
    expect((await keyed(text)).retried).toHaveLength(1)
    expect(point.mock.calls.length).toBeGreaterThan(7)
    expect(JSON.stringify([written, point.mock.calls])).not.toContain('MARKED')
    const { entries } = await directory().listLetters({ after: null, limit: 1_000 })
    expect(entries.length).toBeGreaterThan(4)
    expect(JSON.stringify(entries)).not.toContain('MARKED')
  })
})

describe('redo', () => {
  const redo = async (consumer: QueueConsumer, id: string, mayExecute = true) => {
    const ctx = createExecutionContext()
    const fate = await consumer.redo(await contentOf(id), env, ctx, { mayExecute })
    await waitOnExecutionContext(ctx)
    return fate
  }

  it('does what could not be done before', async () => {
    const handler = vi.fn(() => {
      if (handler.mock.calls.length === 1) throw new HTTPException(503)
    })
    const consumer = consume(handler, { tenant: attribute('tenant'), retry: { attempts: 1 } })
    await deliverTo(consumer, [{ id: 'redone', body: eventOf(fresh('e'), 1) }])
    expect(await letterOf('redone')).not.toBeNull()
    expect(await redo(consumer, 'redone')).toMatchObject({ kind: 'ack' })
    expect(handler).toHaveBeenCalledTimes(2)
  })

  it('does not take for done what was refused', async () => {
    const handler = vi.fn(() => {
      throw new HTTPException(422)
    })
    const consumer = consume(handler, { tenant: attribute('tenant') })
    await deliverTo(consumer, [{ id: 'refused', body: eventOf(fresh('e'), 1) }])
    expect(await redo(consumer, 'refused')).toMatchObject({ kind: 'dead-letter', reason: 'failed' })
    expect(handler).toHaveBeenCalledTimes(1)
  })
})

describe('the options of consume', () => {
  const faultsOf = (handlers: unknown, options: unknown): string => {
    try {
      consume(handlers as Handlers, options as ConsumeOptions)
      return ''
    } catch (error) {
      return error instanceof Error ? error.message : ''
    }
  }
  const tenant = attribute('tenant')
  const noop = () => {}

  it('are refused all at once, each by its name', () => {
    const options = {
      type: 5,
      retry: { attempts: 0, base: 'soon', tries: 3 },
      concurrency: 0,
      lease: 'x',
      unknown: 'guess',
      mode: 'observe',
    }
    const handlers = {
      a: noop,
      b: {
        handle: noop,
        payload: 'data',
        key: header('X'),
        request: '/reports',
        keyFormat: 'uuid',
      },
    }
    const message = faultsOf(handlers, options)
    expect(message).toMatch(/^The options of consume\(\) are not valid:\n/)
    const names = [
      'tenant',
      'type',
      'retry.attempts',
      'retry.base',
      'retry',
      'concurrency',
      'a: lease',
      'a: unknown',
      'a: mode',
      'b: payload',
      'b: key',
      'b: request',
      'b: keyFormat',
    ]
    for (const name of names) expect(message).toContain(`\n  ${name}: `)
  })

  it.each([
    { what: 'no options', handlers: noop, options: undefined, expected: 'tenant: ' },
    { what: 'no handlers', handlers: {}, options: { tenant }, expected: 'handlers: ' },
    { what: 'nothing', handlers: undefined, options: { tenant }, expected: 'handlers: ' },
    {
      what: 'a handler that is none',
      handlers: { a: 'x' },
      options: { tenant },
      expected: 'a: handle: ',
    },
    {
      what: 'an entry without handler',
      handlers: { a: { key: event() } },
      options: { tenant },
      expected: 'a: handle: ',
    },
    {
      what: 'a path that is none',
      handlers: forward('payments'),
      options: { tenant },
      expected: '*: request: ',
    },
    {
      what: 'a method without a body',
      handlers: forward('/a', { method: 'GET' }),
      options: { tenant },
      expected: '*: request: ',
    },
    {
      what: 'a method in small letters',
      handlers: forward('/a', { method: 'post' }),
      options: { tenant },
      expected: '*: request: ',
    },
    {
      what: 'two requests',
      handlers: { a: { handle: forward('/a'), request: 'POST /b' } },
      options: { tenant },
      expected: 'a: request: ',
    },
    {
      what: 'a tenant that is none',
      handlers: noop,
      options: { tenant: header('X') },
      expected: 'tenant: ',
    },
    {
      what: 'a key that is no pointer',
      handlers: noop,
      options: { tenant, key: body('order') },
      expected: '*: key',
    },
    {
      what: 'a retry of a type',
      handlers: { a: { handle: noop, retry: { attempts: 2 } } },
      options: { tenant },
      expected: 'a: retry: ',
    },
  ])('may not be $what', ({ handlers, options, expected }) => {
    expect(faultsOf(handlers, options)).toContain(`\n  ${expected}`)
  })

  it('that are refused leave nothing behind', () => {
    faultsOf({ a: noop }, { tenant, lease: 'x' })
    const app = createGateway({ tenant: fromHeader('X-Tenant') })
    expect(() => createWorker(app)).not.toThrow()
  })
})

describe('a result that could not be stored', () => {
  it('leaves its message unacknowledged, and is not made again', async () => {
    const store = vi.spyOn(IdempotencyObject.prototype, 'settle')
    store.mockRejectedValue(new Error('no store'))
    const handler = vi.fn(async () => ({ done: true }))
    const deliver = consumerWith({ 'order.paid': handler }, { wait: 0 })
    const id = fresh('unsettled')
    const { acked, retried } = await deliver({ id, body: eventOf(id, { a: 1 }) })
    expect({ acked, retried }).toEqual({ acked: [], retried: [id] })
    expect(handler).toHaveBeenCalledTimes(1)
  })
})

describe('what a new user meets first', () => {
  it('does once what two types with one handler and one business key ask for', async () => {
    const handler = vi.fn(async () => ({ ok: true }))
    const payload = (content: { ref: string }) => ({ order: content.ref })
    const deliver = consumerWith(
      { 'shop.paid': { handle: handler }, 'bank.paid': { handle: handler, payload } },
      { key: business('/order') },
    )
    const order = fresh('order')
    const shop = eventOf(fresh('shop'), { order }, { type: 'shop.paid' })
    const bank = { type: 'bank.paid', tenant: 'acme', ref: order }
    const { acked } = await deliver({ id: 's', body: shop }, { id: 'b', body: bank })
    expect(acked.toSorted()).toEqual(['b', 's'])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('does two things with one business key, where two handlers do them', async () => {
    const [pay, ship] = [vi.fn(async () => {}), vi.fn(async () => {})]
    const deliver = consumerWith({ pay, ship }, { key: business('/order') })
    const data = { order: fresh('order') }
    await deliver(
      { body: eventOf(fresh('e'), data, { type: 'pay' }) },
      { body: eventOf(fresh('e'), data, { type: 'ship' }) },
    )
    expect([pay.mock.calls.length, ship.mock.calls.length]).toEqual([1, 1])
  })

  it.each<{ by: string; key: NonNullable<ConsumeOptions['key']> }>([
    { by: 'its id', key: [event(), messageId()] },
    { by: 'an attribute', key: attribute('id') },
    { by: 'a function', key: ({ body: sent }) => (sent as { id: string }).id },
    { by: 'a string of the payload', key: body('/order') },
  ])('does two things for one event, where two handlers do them, by $by', async ({ key }) => {
    const [charge, ship] = [vi.fn(), vi.fn()]
    const { fateOf } = consumerWith(
      { 'order.paid': charge, 'order.sent': ship },
      { key: key ?? [] },
    )
    const sent = eventOf(fresh('of-two'), { order: fresh('order') })
    for (const type of ['order.paid', 'order.sent', 'order.paid', 'order.sent'])
      expect(await fateOf({ body: { ...sent, type } })).toBe('ack')
    expect([charge.mock.calls.length, ship.mock.calls.length]).toEqual([1, 1])
  })

  it('does once what one handler does for an event under two types', async () => {
    const work = vi.fn()
    const { fateOf } = consumerWith({ 'order.paid': work, 'order.settled': work })
    const sent = eventOf(fresh('of-one'), { order: 1 })
    for (const type of ['order.paid', 'order.settled'])
      expect(await fateOf({ body: { ...sent, type } })).toBe('ack')
    expect(work).toHaveBeenCalledOnce()
  })

  it('takes an event as json, text and bytes for one', async () => {
    const handler = vi.fn(async () => {})
    const deliver = consumerWith({ 'order.paid': handler })
    const json = eventOf(fresh('forms'), { amount: 1 })
    const text = JSON.stringify(json)
    const bytes = new TextEncoder().encode(text).buffer
    await deliver({ body: json }, { body: text }, { body: bytes })
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('begins every message of a batch whose handlers hang, and tells of each', async () => {
    const handler = vi.fn(() => new Promise<void>(() => {}))
    const options = { timeout: '20ms', concurrency: 2, wait: 0, lease: '1s' } as const
    const consumer = consume(handler, { tenant: attribute('tenant'), ...options })
    const ids = Array.from({ length: 9 }, () => fresh('hangs'))
    const batch = createMessageBatch(
      QUEUE,
      // None of them is ever a dead letter for that.
      ids.map((id) => ({ id, timestamp: new Date(), attempts: 99, body: eventOf(id, {}) })),
    )
    const told = batch.messages.map((message) => vi.spyOn(message, 'retry'))
    const waitUntil = vi.fn<ExecutionContext['waitUntil']>()
    const ctx = { waitUntil, passThroughOnException() {}, props: {} } as unknown as ExecutionContext
    await consumer(batch, env, ctx)
    expect(told.map(({ mock }) => mock.calls.length)).toEqual(ids.map(() => 1))
    expect(handler).toHaveBeenCalledTimes(ids.length)
  })

  it('lets go of what hangs before the platform ends the consumer', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
    const handler = vi.fn(() => new Promise<void>(() => {}))
    const consumer = consume(handler, { tenant: attribute('tenant'), timeout: '10m' })
    const sent = { id: fresh('hangs'), timestamp: new Date(), attempts: 1 }
    const batch = createMessageBatch(QUEUE, [{ ...sent, body: eventOf(sent.id, {}) }])
    const left: Promise<unknown>[] = []
    const waitUntil = (work: Promise<unknown>) => void left.push(work)
    const ctx = { waitUntil, passThroughOnException() {}, props: {} } as unknown as ExecutionContext
    const done = consumer(batch, env, ctx)
    await until(() => handler.mock.calls.length > 0)
    await vi.advanceTimersByTimeAsync(14 * 60_000)
    await done
    expect(left.length).toBeGreaterThan(0)
    await Promise.all(left)
  })

  it('gives a message back whose handler hangs, and lets the handler go on', async () => {
    const gate = Promise.withResolvers<void>()
    const handler = vi.fn(async (message: { body: { id: string } }) => {
      if (message.body.id.startsWith('hangs')) await gate.promise
    })
    const options = { timeout: '50ms', concurrency: 1, wait: 0 } as const
    const consumer = consume({ 'order.paid': handler }, { tenant: attribute('tenant'), ...options })
    const [hangs, fine] = [fresh('hangs'), fresh('fine')]
    const batch = createMessageBatch(QUEUE, [
      { id: hangs, timestamp: new Date(), attempts: 1, body: eventOf(hangs, {}) },
      { id: fine, timestamp: new Date(), attempts: 1, body: eventOf(fine, {}) },
    ])
    const ctx = createExecutionContext()
    await consumer(batch, env, ctx)
    gate.resolve()
    await waitOnExecutionContext(ctx)
    const { explicitAcks, retryMessages } = await getQueueResult(batch, ctx)
    expect(explicitAcks).toEqual([fine])
    expect(retryMessages.map(({ msgId }) => msgId)).toEqual([hangs])
    const deliver = consumerWith({ 'order.paid': handler })
    expect((await deliver({ id: hangs, attempts: 2, body: eventOf(hangs, {}) })).acked).toEqual([
      hangs,
    ])
    expect(handler).toHaveBeenCalledTimes(2)
  })
})
