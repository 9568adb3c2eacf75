import { abortAllDurableObjects } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Hono } from 'hono'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  type GatewayEnv,
  batch,
  createGateway,
  createWorker,
  credential,
  header,
  idempotent,
  mcp,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { type Asked, askerOf, type ProblemBody, refusal } from './ask.ts'
import { word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

interface Item {
  readonly id: string | number
  readonly amount?: number
}

interface Answered {
  readonly retryable: boolean
  readonly items: readonly {
    readonly key: string | number | null
    readonly status: number
    readonly idempotency: string
    readonly retryable: boolean
    readonly headers: Record<string, string>
    readonly body: unknown
    readonly omitted?: true
  }[]
}

type AnswerOne = (item: Item, request: Request) => Response | Promise<Response>

const created: AnswerOne = ({ id }) =>
  Response.json({ paid: id }, { status: 201, headers: { Location: `/payments/${id}` } })

let tenants = 0

/** A gateway with a route for batches, its own tenant, and an origin that is asked for one item at a time. */
function routeWith(policy: PolicyOptions = {}, answer: AnswerOne = created) {
  const asked: string[] = []
  const bodies: string[] = []
  const origin = playOrigin(async (request) => {
    const body = await request.clone().text()
    bodies.push(body)
    const { items } = JSON.parse(body) as { items: readonly Item[] }
    const [item = { id: 'none' }] = items
    asked.push(items.map(({ id }) => id).join())
    return answer(item, request)
  })
  const app = createGateway({ tenant: credential('Authorization') })
  const policyOfBatches = { key: batch('/items', '/id'), ...policy }
  app.post('/batches', protect(policyOfBatches))
  app.post('/others', protect(policyOfBatches))
  app.post('/shops/:shop/batches', protect(policyOfBatches))
  const ask = askerOf(app)
  tenants += 1
  const own = { Authorization: `Bearer batch-${tenants}`, 'Content-Type': 'application/json' }
  const post = (
    body: BodyInit,
    { path = '/batches', headers = {} }: Asked & { path?: string } = {},
  ) => ask(path, { body, headers: { ...own, ...headers } })
  const send = (items: readonly Item[], envelope: object = {}) =>
    post(JSON.stringify({ ...envelope, items }))
  return { origin, asked, bodies, post, send }
}

const answerOf = (response: Response) => response.json<Answered>()
const words = (answer: Answered) => answer.items.map(({ idempotency }) => idempotency)
const statuses = (answer: Answered) => answer.items.map(({ status }) => status)

const A = { id: 'a', amount: 1 }
const B = { id: 'b', amount: 2 }
const C = { id: 'c', amount: 3 }

describe('batch', () => {
  it('makes each item an operation of its own, and puts the answer together in their order', async () => {
    const { origin, asked, send } = routeWith()
    const response = await send([A, B])
    expect([response.status, word(response)]).toEqual([200, 'executed'])
    expect(response.headers.get('X-Should-Retry')).toBe('false')
    const answer = await answerOf(response)
    expect(answer.retryable).toBe(false)
    expect(answer.items).toMatchObject([
      { key: 'a', status: 201, idempotency: 'executed', body: { paid: 'a' } },
      { key: 'b', status: 201, idempotency: 'executed', body: { paid: 'b' } },
    ])
    expect(answer.items[0]?.headers).toMatchObject({ location: '/payments/a' })
    expect(asked.toSorted()).toEqual(['a', 'b'])
    const keys = new Set(origin.requests.map(({ headers }) => headers.get('Idempotency-Key')))
    expect(keys.size).toBe(2)
  })

  it('answers a repeat from what is stored', async () => {
    const { asked, send } = routeWith()
    await send([A, B])
    const again = await send([A, B])
    expect([again.status, word(again)]).toEqual([200, 'replayed'])
    expect(again.headers.get('Idempotent-Replayed')).toBe('true')
    expect((await answerOf(again)).items).toMatchObject([
      { key: 'a', status: 201, body: { paid: 'a' }, headers: { 'idempotent-replayed': 'true' } },
      { key: 'b', status: 201, body: { paid: 'b' } },
    ])
    expect(asked).toHaveLength(2)
  })

  it('does only what is new, wherever items stand and whatever stands beside them', async () => {
    const { asked, send } = routeWith()
    await send([A, B])
    const mixed = await send([C, B, A])
    expect(word(mixed)).toBe('mixed')
    expect(words(await answerOf(mixed))).toEqual(['executed', 'replayed', 'replayed'])
    expect(words(await answerOf(await send([B])))).toEqual(['replayed'])
    expect(asked.toSorted()).toEqual(['a', 'b', 'c'])
  })

  it('does again only what was not executed', async () => {
    let isBusy = true
    const { asked, send } = routeWith({}, (item, request) =>
      isBusy && item.id === 'b'
        ? new Response('busy', { status: 503, headers: { 'Retry-After': '7' } })
        : created(item, request),
    )
    const first = await send([A, B, C])
    expect(first.status).toBe(207)
    expect(first.headers.get('X-Should-Retry')).toBe('true')
    expect(first.headers.get('Retry-After')).toBe('7')
    const answer = await answerOf(first)
    expect(answer.retryable).toBe(true)
    expect(statuses(answer)).toEqual([201, 503, 201])
    expect(answer.items[1]).toMatchObject({ idempotency: 'not-executed', body: 'busy' })
    isBusy = false
    const again = await send([A, B, C])
    expect(again.status).toBe(200)
    expect(words(await answerOf(again))).toEqual(['replayed', 'executed', 'replayed'])
    expect(asked.filter((id) => id === 'b')).toHaveLength(2)
    expect(asked).toHaveLength(4)
  })

  it('reports an item that differs, and goes on with the others', async () => {
    const { asked, send } = routeWith()
    await send([A, B])
    const other = await send([{ ...A, amount: 9 }, B, C])
    expect(other.status).toBe(207)
    const answer = await answerOf(other)
    expect(words(answer)).toEqual(['mismatch', 'replayed', 'executed'])
    const [mismatch] = answer.items
    const document = mismatch?.body as ProblemBody
    expect(document.error.code).toBe('key-reused')
    expect(document.pointers).toEqual(['/items/0/amount'])
    expect(mismatch?.retryable).toBe(false)
    expect(asked.toSorted()).toEqual(['a', 'b', 'c'])
  })

  it('counts what stands around the items: another currency is another request', async () => {
    const { asked, send } = routeWith()
    await send([A], { currency: 'EUR' })
    expect(words(await answerOf(await send([A], { currency: 'USD' })))).toEqual(['mismatch'])
    expect(asked).toEqual(['a'])
  })

  it('holds an item of unknown outcome, and gives out the others', async () => {
    const { asked, send } = routeWith({}, (item, request) =>
      item.id === 'b' ? new Response('broken', { status: 500 }) : created(item, request),
    )
    const first = await answerOf(await send([A, B, C]))
    expect(words(first)).toEqual(['executed', 'unknown', 'executed'])
    expect(first.retryable).toBe(false)
    const again = await answerOf(await send([A, B, C]))
    expect(words(again)).toEqual(['replayed', 'unknown', 'replayed'])
    expect(again.items[1]).toMatchObject({ status: 409, retryable: false })
    expect(asked).toHaveLength(3)
  })

  it('has one effect for each item where two equal batches come at once', async () => {
    const { asked, send } = routeWith()
    const [one, two] = await Promise.all([send([A, B, C]), send([A, B, C])])
    const bodies = [await answerOf(one), await answerOf(two)]
    expect(bodies.map(statuses)).toEqual([
      [201, 201, 201],
      [201, 201, 201],
    ])
    expect(asked.toSorted()).toEqual(['a', 'b', 'c'])
  })

  it('does the rest only where the objects of a batch went away in the middle', async () => {
    let isStuck = true
    const stuck = Promise.withResolvers<void>()
    const { asked, send } = routeWith({ unknown: 'resend' }, async (item, request) => {
      if (isStuck && item.id === 'b') await stuck.promise
      return created(item, request)
    })
    const lost = send([A, B, C])
    await until(() => asked.length === 3)
    isStuck = false
    await abortAllDurableObjects()
    stuck.resolve()
    await lost
    const again = await send([A, B, C])
    expect(again.status).toBe(200)
    expect(statuses(await answerOf(again))).toEqual([201, 201, 201])
    expect(asked.toSorted()).toEqual(['a', 'b', 'b', 'c'])
  })

  it('begins no more items at once than the route says', async () => {
    let running = 0
    let most = 0
    const release = Promise.withResolvers<void>()
    const key = batch('/items', '/id', { concurrency: 2 })
    const { asked, send } = routeWith({ key }, async (item, request) => {
      most = Math.max(most, (running += 1))
      await release.promise
      running -= 1
      return created(item, request)
    })
    const sent = send([A, B, C, { id: 'd' }])
    await until(() => running === 2)
    release.resolve()
    expect(statuses(await answerOf(await sent))).toEqual([201, 201, 201, 201])
    expect(most).toBe(2)
    expect(asked).toHaveLength(4)
  })
})

describe('a batch that is malformed', () => {
  const many = JSON.stringify({ items: Array.from({ length: 4 }, (_, id) => ({ id })) })

  it.each([
    { name: 'is no JSON', body: '{"items":[', expected: [400, 'payload-invalid'] },
    {
      name: 'has two members of one name',
      body: '{"items":[{"id":1,"id":2}]}',
      expected: [400, 'payload-invalid'],
    },
    { name: 'has no items', body: '{"items":[]}', expected: [400, 'payload-invalid'] },
    { name: 'has no array', body: '{"id":"a"}', expected: [400, 'payload-invalid'] },
    { name: 'is empty', body: '', expected: [400, 'payload-invalid'] },
    {
      name: 'has an item without a key',
      body: '{"items":[{"id":"a"},{}]}',
      expected: [400, 'key-missing'],
    },
    {
      name: 'has a key that is none',
      body: '{"items":[{"id":"a"},{"id":""}]}',
      expected: [400, 'key-invalid'],
    },
    {
      name: 'has one key twice',
      body: '{"items":[{"id":"a"},{"id":"a"}]}',
      expected: [400, 'payload-invalid'],
    },
    { name: 'has too many items', body: many, expected: [413, 'payload-too-large'] },
    {
      name: 'has too many bytes',
      body: `{"items":[{"id":"${'a'.repeat(200)}"}]}`,
      expected: [413, 'payload-too-large'],
    },
  ])('is refused whole where it $name', async ({ body, expected }) => {
    const { origin, post } = routeWith({
      key: batch('/items', '/id', { size: 3 }),
      limits: { request: 200 },
    })
    const response = await post(body)
    expect(refusal(response)).toEqual(expected)
    expect(word(response)).toBe('rejected')
    expect(origin.requests).toHaveLength(0)
  })

  it('is refused where it is not said to be JSON', async () => {
    const { origin, post } = routeWith()
    const response = await post('{"items":[{"id":"a"}]}', {
      headers: { 'Content-Type': 'text/plain' },
    })
    expect(refusal(response)).toEqual([400, 'payload-invalid'])
    expect(origin.requests).toHaveLength(0)
  })

  it('claims nothing: the same keys are free afterwards', async () => {
    const { asked, post, send } = routeWith()
    await post('{"items":[{"id":"a","amount":1},{}]}')
    expect(words(await answerOf(await send([A])))).toEqual(['executed'])
    expect(asked).toEqual(['a'])
  })

  it('is refused whole where its bytes are lost, with the mistake that lost them', async () => {
    const { requests } = playOrigin(() => new Response('{}'))
    const app = createGateway({ tenant: credential('Authorization') })
    app.use(async (c, next) => {
      await c.req.raw.json()
      await next()
    })
    app.post('/batches', protect({ key: batch('/items', '/id') }))
    const headers = { Authorization: 'Bearer lost', 'Content-Type': 'application/json' }
    const answer = await askerOf(app)('/batches', { body: '{"items":[{"id":"a"}]}', headers })
    expect(refusal(answer)).toEqual([500, 'gateway-misconfigured'])
    expect((await answer.json<ProblemBody>()).detail).toContain('c.req.raw.clone()')
    expect(requests).toHaveLength(0)
  })

  it('is refused whole where nobody knows whose it is', async () => {
    const { origin, post } = routeWith()
    const response = await post('{"items":[{"id":"a"}]}', { headers: { Authorization: '' } })
    expect(refusal(response)).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })
})

describe('the request of an item', () => {
  it('has the bytes of the item and of what stands around it, and nothing else of the batch', async () => {
    const { bodies, post } = routeWith()
    await post(
      String.raw`{"rate": 1.10,"items":[{"id":7,"to":"\u00e9","n":9007199254740993}, {"id":"b"}]}`,
    )
    expect(bodies.toSorted()).toEqual([
      '{"rate": 1.10,"items":[{"id":"b"}]}',
      String.raw`{"rate": 1.10,"items":[{"id":7,"to":"\u00e9","n":9007199254740993}]}`,
    ])
  })

  it('has the path, query and headers of the batch, without what tells of its bytes', async () => {
    const { origin, post } = routeWith()
    await post('{"items":[{"id":"a"}]}', {
      path: '/shops/7/batches?dry=1',
      headers: {
        'X-Shop': 's',
        'Content-Digest': 'sha-256=:x:',
        'Idempotency-Key': 'of-the-batch',
      },
    })
    const [request] = origin.requests
    expect(new URL(request?.url ?? '').pathname + new URL(request?.url ?? '').search).toBe(
      '/shops/7/batches?dry=1',
    )
    expect(request?.headers.get('X-Shop')).toBe('s')
    expect(request?.headers.get('Content-Type')).toBe('application/json')
    expect(request?.headers.has('Content-Digest')).toBe(false)
    expect(request?.headers.get('Idempotency-Key')).toMatch(/^[\w-]{43}$/)
  })

  it('is not compressed where the batch was', async () => {
    const { origin, bodies, post } = routeWith()
    const stream = new Blob(['{"items":[{"id":"a"}]}']).stream()
    const body = await new Response(stream.pipeThrough(new CompressionStream('gzip'))).arrayBuffer()
    const response = await post(body, { headers: { 'Content-Encoding': 'gzip' } })
    expect(response.status).toBe(200)
    expect(origin.requests[0]?.headers.has('Content-Encoding')).toBe(false)
    expect(bodies).toEqual(['{"items":[{"id":"a"}]}'])
  })

  it('gets 202 and where its result will be, where the client does not wait', async () => {
    const done = Promise.withResolvers<void>()
    const { post } = routeWith({}, async (item, request) => {
      await done.promise
      return created(item, request)
    })
    const response = await post('{"items":[{"id":"a"},{"id":"b"}]}', {
      headers: { Prefer: 'respond-async' },
    })
    done.resolve()
    const answer = await answerOf(response)
    expect(statuses(answer)).toEqual([202, 202])
    expect(answer.items[0]?.headers['location']).toMatch(/^\/_hapax\/operations\//)
  })
})

describe('a route of batches', () => {
  const items = '{"items":[{"id":"a"},{"id":"b"}]}'

  /** The names under which the items were counted. */
  async function operationsOf(register: (app: Hono<GatewayEnv>) => void) {
    const origin = playOrigin(() => new Response('{}', { status: 201 }))
    const points = vi.spyOn(env.METRICS, 'writeDataPoint')
    const app = createGateway({ tenant: credential('Authorization') })
    register(app)
    tenants += 1
    const headers = {
      Authorization: `Bearer batch-${tenants}`,
      'Content-Type': 'application/json',
    }
    const response = await askerOf(app)('/v1/shops/7/pay', { body: items, headers })
    expect(statuses(await answerOf(response))).toEqual([201, 201])
    expect(origin.requests.map(({ url }) => new URL(url).pathname)).toEqual([
      '/v1/shops/7/pay',
      '/v1/shops/7/pay',
    ])
    return [...new Set(points.mock.calls.map(([point]) => point?.blobs?.[0]))]
  }

  const guarded = () => protect({ key: batch('/items', '/id') })

  it.each([
    {
      name: 'for every method',
      register: (app: Hono<GatewayEnv>) => app.all('/v1/shops/:shop/pay', guarded()),
      expected: 'POST /v1/shops/:shop/pay',
    },
    {
      name: 'as a middleware of many paths',
      register: (app: Hono<GatewayEnv>) => app.use('/v1/shops/*', guarded()),
      expected: 'POST /v1/shops/*',
    },
    {
      name: 'with a slash at its end',
      register: (app: Hono<GatewayEnv>) => app.post('/v1/shops/:shop{[0-9]+}/pay/', guarded()),
      expected: 'POST /v1/shops/:shop{[0-9]+}/pay/',
    },
    {
      name: 'behind a middleware that has read the body',
      register: (app: Hono<GatewayEnv>) =>
        app.post(
          '/v1/shops/:shop/pay',
          async (c, next) => {
            await c.req.json()
            await next()
          },
          guarded(),
        ),
      expected: 'POST /v1/shops/:shop/pay',
    },
  ])('works $name', async ({ register, expected }) => {
    expect(await operationsOf(register)).toEqual([expected])
  })
})

describe('the scope of the keys of items', () => {
  it('is the operation: the same id on another route is another item', async () => {
    const { asked, post } = routeWith()
    const body = '{"items":[{"id":"a"}]}'
    await post(body)
    expect(words(await answerOf(await post(body, { path: '/others' })))).toEqual(['executed'])
    expect(asked).toHaveLength(2)
  })

  it('never reaches another tenant', async () => {
    const { asked, post } = routeWith()
    const body = '{"items":[{"id":"a"}]}'
    await post(body)
    const headers = { Authorization: `Bearer somebody-else-${tenants}` }
    expect(words(await answerOf(await post(body, { headers })))).toEqual(['executed'])
    expect(asked).toHaveLength(2)
  })

  it('is the tenant where the route says so', async () => {
    const { asked, post } = routeWith({ key: batch('/items', '/id', { scope: 'tenant' }) })
    const body = '{"items":[{"id":"a"}]}'
    await post(body)
    expect(words(await answerOf(await post(body, { path: '/others' })))).toEqual(['mismatch'])
    expect(asked).toHaveLength(1)
  })
})

describe('the answer to a batch', () => {
  it('leaves out bodies for which there is no room, and tells them to who asks for less', async () => {
    const { send } = routeWith({ limits: { response: 2_000 } }, ({ id }) =>
      Response.json({ id, text: 'x'.repeat(1_000) }, { status: 201 }),
    )
    const answer = await answerOf(await send([A, B, C]))
    expect(statuses(answer)).toEqual([201, 201, 201])
    const omitted = answer.items.filter((item) => item.omitted)
    expect(omitted.length).toBeGreaterThan(0)
    const [id = ''] = omitted.map(({ key }) => String(key))
    const again = await answerOf(await send([A, B, C].filter((item) => item.id === id)))
    expect(again.items[0]).toMatchObject({ idempotency: 'replayed', body: { id } })
  })

  it('tells of an item whose answer broke off, and of the others as ever', async () => {
    let isBroken = true
    const { send } = routeWith({ unknown: 'resend' }, (item, request) => {
      if (!isBroken || item.id !== 'b') return created(item, request)
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('half'))
        },
        pull(controller) {
          controller.error(new Error('broken'))
        },
      })
      return new Response(body, { status: 201 })
    })
    const first = await answerOf(await send([A, B, C]))
    expect([first.items[0]?.status, first.items[2]?.status]).toEqual([201, 201])
    expect(first.items[1]?.status).not.toBe(201)
    expect([first.items[1]?.retryable, first.retryable]).toEqual([true, true])
    isBroken = false
    expect(statuses(await answerOf(await send([A, B, C])))).toEqual([201, 201, 201])
  })

  it('keeps the digits of numbers in what the API answered', async () => {
    const { send } = routeWith(
      {},
      () =>
        new Response('{"n":9007199254740993.10}', {
          headers: { 'Content-Type': 'application/json' },
        }),
    )
    expect(await (await send([A])).text()).toContain('"body":{"n":9007199254740993.10}')
  })

  it('undoes the coding of an API that compresses although it was not asked to', async () => {
    const { send } = routeWith({}, async () => {
      const stream = new Blob(['{"paid":true}']).stream().pipeThrough(new CompressionStream('gzip'))
      return new Response(await new Response(stream).arrayBuffer(), {
        headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
        encodeBody: 'manual',
      })
    })
    expect((await answerOf(await send([A]))).items[0]).toMatchObject({ body: { paid: true } })
  })

  it('is counted once for each item, under the name of the route', async () => {
    const { post } = routeWith()
    const points = vi.spyOn(env.METRICS, 'writeDataPoint')
    await post('{"items":[{"id":"a"},{"id":"b"}]}', { path: '/shops/7/batches' })
    const blobs = points.mock.calls.map(([point]) => point?.blobs ?? [])
    expect(blobs.map(([operation, , status]) => [operation, status])).toEqual([
      ['POST /shops/:shop/batches', 'executed'],
      ['POST /shops/:shop/batches', 'executed'],
    ])
    expect(blobs.map((blob) => blob[10])).toEqual(['batch', 'batch'])
  })
})

describe('a route of batches that enforces nothing', () => {
  it('lets the batch through as it came while it observes', async () => {
    const { asked, bodies, post, send } = routeWith({ mode: 'observe' })
    const points = vi.spyOn(env.METRICS, 'writeDataPoint')
    await send([A, B])
    await send([A, B])
    await post('{"items":[{"id":"a"},{"id":"a"}]}')
    expect(asked).toEqual(['a,b', 'a,b', 'a,a'])
    expect(bodies[2]).toBe('{"items":[{"id":"a"},{"id":"a"}]}')
    const blobs = points.mock.calls.map(([point]) => point?.blobs ?? [])
    expect(blobs.map((blob) => [blob[2], blob[9], blob[3]])).toEqual([
      ['unprotected', 'executed', ''],
      ['unprotected', 'executed', ''],
      ['unprotected', 'rejected', 'payload-invalid'],
    ])
  })

  it('guards the items of who is enforced already', async () => {
    const { asked, send } = routeWith({ mode: 'observe', enforce: { percent: 100 } })
    await send([A, B])
    expect(words(await answerOf(await send([A, B])))).toEqual(['replayed', 'replayed'])
    expect(asked.toSorted()).toEqual(['a', 'b'])
  })

  it('lets safe methods through on a route for every method', async () => {
    const origin = playOrigin(() => new Response('list'))
    const app = createGateway({ tenant: credential('Authorization') })
    app.all('/batches', protect({ key: batch('/items', '/id') }))
    const response = await askerOf(app)('/batches', { method: 'GET' })
    expect([response.status, await response.text()]).toEqual([200, 'list'])
    expect(origin.requests).toHaveLength(1)
  })

  it('forwards items without a key unprotected where it requires none', async () => {
    const { asked, post } = routeWith({ required: false }, () => new Response('ok'))
    const body = '{"items":[{"id":"a"},{"amount":2}]}'
    await post(body)
    const again = await answerOf(await post(body))
    expect(words(again)).toEqual(['replayed', 'unprotected'])
    expect(again.items[1]?.key).toBeNull()
    expect(asked).toHaveLength(3)
  })
})

describe('batch() where it cannot be', () => {
  const startWith = (register: (app: Hono<GatewayEnv>) => void) => () => {
    const app = createGateway({ tenant: credential('Authorization') })
    register(app)
    return createWorker(app)
  }
  const items = batch('/items', '/id')

  it.each([
    { name: 'beside another source', key: [items, header('Idempotency-Key')], says: /only source/ },
    { name: 'beside mcp()', key: [mcp(), items], says: /only source/ },
    {
      name: 'with what is no pointer',
      key: batch('items', '/id'),
      says: /key\.items: must be a JSON pointer/,
    },
    {
      name: 'with a pointer to many arrays',
      key: batch('/orders/*/items', '/id'),
      says: /key\.items: must lead to one value/,
    },
    { name: 'for no item', key: batch('/items', '/id', { size: 0 }), says: /key/ },
  ])('fails at start $name', ({ key, says }) => {
    expect(startWith((app) => app.post('/x', protect({ key })))).toThrow(says)
  })

  it('fails at start around a handler in the Worker', () => {
    expect(
      startWith((app) => app.post('/x', idempotent({ key: items }), (c) => c.text(''))),
    ).toThrow(/batch\(\) is for protect\(\)/)
  })
})
