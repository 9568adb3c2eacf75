import { Hono, type MiddlewareHandler } from 'hono'
import { validator } from 'hono/validator'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type GatewayEnv,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
const MULTIPART = { 'Content-Type': 'multipart/form-data; boundary=b' }
const PART = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'
const JSON_TYPE = { 'Content-Type': 'application/json' }
const NO_UTF8 = Uint8Array.of(0xff, 0xfe, 0x00, 0x61)

type Read = (c: Parameters<MiddlewareHandler<GatewayEnv>>[0]) => unknown

/** Reads the body in some way before the route is asked. */
function before(read: Read): MiddlewareHandler<GatewayEnv> {
  return async (c, next) => {
    await read(c)
    await next()
  }
}

function gatewayWith(middleware: MiddlewareHandler<GatewayEnv>, policy: PolicyOptions = {}) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.use(middleware)
  app.post('/bodies', protect(policy))
  app.post('/plain', (c) => c.notFound())
  return app
}

/** Plays an origin that keeps what it gets. */
function playKeeper() {
  const bodies: Uint8Array[] = []
  const origin = playOrigin(async (request) => {
    bodies.push(await request.bytes())
    return new Response('done', { status: 201 })
  })
  return { ...origin, bodies }
}

/** Ways that Hono has to read a body. */
const KEPT: readonly { how: string; read: Read }[] = [
  { how: 'formData()', read: (c) => c.req.formData() },
  { how: 'parseBody()', read: (c) => c.req.parseBody() },
  { how: 'text()', read: (c) => c.req.text() },
  { how: 'text() and formData()', read: (c) => c.req.text().then(() => c.req.formData()) },
  { how: 'blob()', read: (c) => c.req.blob() },
  { how: 'arrayBuffer()', read: (c) => c.req.arrayBuffer() },
  {
    how: 'arrayBuffer(), which is changed',
    read: async (c) => new Uint8Array(await c.req.arrayBuffer()).fill(0),
  },
  {
    how: 'arrayBuffer(), which is given away',
    read: async (c) => structuredClone(1, { transfer: [await c.req.arrayBuffer()] }),
  },
  { how: 'bytes()', read: (c) => c.req.bytes() },
  { how: 'a clone', read: (c) => c.req.raw.clone().formData() },
]

/** Ways that lose its bytes. */
const LOST: readonly { how: string; read: Read }[] = [
  { how: 'raw.formData()', read: (c) => c.req.raw.formData() },
  { how: 'raw.text()', read: (c) => c.req.raw.text() },
  { how: 'raw.arrayBuffer()', read: (c) => c.req.raw.arrayBuffer() },
  { how: 'a reader that is kept', read: (c) => c.req.raw.body?.getReader() },
  { how: 'a branch of the stream', read: (c) => c.req.raw.body?.tee()[0].getReader().read() },
  {
    how: 'a part of it',
    read: async (c) => {
      const reader = c.req.raw.body?.getReader()
      await reader?.read()
      reader?.releaseLock()
    },
  },
]

describe.each([
  { kind: 'a form', body: 'b=2&a=%31+x', headers: FORM },
  { kind: 'multipart', body: PART, headers: MULTIPART },
])('$kind that was read before by', ({ body, headers }) => {
  it.each(KEPT)('$how, reaches the origin byte by byte', async ({ read }) => {
    const { bodies } = playKeeper()
    const send = clientOf(gatewayWith(before(read)), '/bodies')
    const key = crypto.randomUUID()
    const answers = [await send(key, { body, headers }), await send(key, { body, headers })]
    expect(answers.map(word)).toEqual(['executed', 'replayed'])
    expect(bodies).toEqual([new TextEncoder().encode(body)])
  })

  it.each(LOST)('$how, is refused, and the key stays free', async ({ read }) => {
    const { bodies } = playKeeper()
    const key = crypto.randomUUID()
    const refused = await clientOf(gatewayWith(before(read)), '/bodies')(key, { body, headers })
    expect([refused.status, word(refused)]).toEqual([500, 'rejected'])
    const { detail } = await refused.json<{ detail: string }>()
    expect(detail).toContain('c.req.raw.clone()')
    const send = clientOf(gatewayWith(before(() => {})), '/bodies')
    expect(word(await send(key, { body, headers }))).toBe('executed')
    expect(bodies).toHaveLength(1)
  })
})

describe('a body that was read before', () => {
  it.each([
    { name: 'JSON', body: '{ "a": 1.0 }', headers: JSON_TYPE, read: (c) => c.req.json() },
    {
      name: 'no UTF-8, as text',
      body: NO_UTF8,
      headers: { 'Content-Type': 'text/plain' },
      read: (c) => c.req.text(),
    },
    { name: 'a byte order mark', body: '\uFEFFa=1', headers: FORM, read: (c) => c.req.text() },
  ] satisfies { name: string; body: BodyInit; headers: Record<string, string>; read: Read }[])(
    'stays what it was: $name',
    async ({ body, headers, read }) => {
      const { bodies } = playKeeper()
      const send = clientOf(gatewayWith(before(read)), '/bodies')
      expect(word(await send(crypto.randomUUID(), { body, headers }))).toBe('executed')
      const sent = typeof body === 'string' ? new TextEncoder().encode(body) : body
      expect(bodies).toEqual([sent])
    },
  )

  it('is the one that a middleware has put in its place', async () => {
    const { bodies } = playKeeper()
    const replace = before(async (c) => {
      const body = (await c.req.text()).toUpperCase()
      c.req.raw = new Request(c.req.raw, { body })
    })
    const send = clientOf(gatewayWith(replace), '/bodies')
    const options = { body: 'abc', headers: { 'Content-Type': 'text/plain' } }
    expect(word(await send('replaced', options))).toBe('executed')
    expect(bodies).toEqual([new TextEncoder().encode('ABC')])
  })

  it.each([
    { name: 'a route that is not protected', path: '/plain', options: {} },
    { name: 'a request without a key', path: '/bodies', options: { isKeyless: true } },
  ])('goes to the origin from $name', async ({ path, options }) => {
    const { bodies } = playKeeper()
    const app = gatewayWith(
      before((c) => c.req.formData()),
      { required: false },
    )
    await clientOf(app, path)('', { body: 'a=1', headers: FORM, ...options })
    expect(bodies).toEqual([new TextEncoder().encode('a=1')])
  })

  it('is counted against the limit of the route', async () => {
    playKeeper()
    const app = gatewayWith(
      before((c) => c.req.text()),
      { limits: { request: 3 } },
    )
    expect((await clientOf(app, '/bodies')('over', { body: '1234' })).status).toBe(413)
    expect((await clientOf(app, '/bodies')('not-over', { body: '123' })).status).toBe(201)
  })

  it('is passed on while the route observes', async () => {
    const { bodies } = playKeeper()
    const app = gatewayWith(
      before((c) => c.req.formData()),
      { mode: 'observe' },
    )
    const answer = await clientOf(app, '/bodies')('seen', { body: 'a=1', headers: FORM })
    expect([answer.status, bodies]).toEqual([201, [new TextEncoder().encode('a=1')]])
  })

  it.each([
    { how: 'arrayBuffer', isTaken: true },
    { how: 'text', isTaken: true },
    { how: 'formData', isTaken: false },
  ] as const)('by an app around the gateway, with $how()', async ({ how, isTaken }) => {
    const { bodies } = playKeeper()
    const outer = new Hono<GatewayEnv>()
    outer.use(before((c) => c.req[how]()))
    outer.route('/', gatewayWith(before(() => {})))
    const headers = { ...FORM, 'Content-Length': '3' }
    const answer = await clientOf(outer, '/bodies')(crypto.randomUUID(), { body: 'a=1', headers })
    expect(answer.status).toBe(isTaken ? 201 : 500)
    expect(bodies).toEqual(isTaken ? [new TextEncoder().encode('a=1')] : [])
  })
})

describe('a handler behind the protection', () => {
  const WAYS: readonly { how: string; read: Read }[] = [
    { how: 'text()', read: (c) => c.req.text() },
    { how: 'raw.text()', read: (c) => c.req.raw.text() },
    { how: 'blob()', read: (c) => c.req.blob() },
    { how: 'formData()', read: async (c) => (await c.req.formData()).get('a') },
    { how: 'parseBody()', read: async (c) => (await c.req.parseBody())['a'] },
    { how: 'raw.formData()', read: async (c) => (await c.req.raw.formData()).get('a') },
  ]

  it.each(WAYS.flatMap((own) => [undefined, ...KEPT].map((earlier) => ({ ...own, earlier }))))(
    'reads the body by $how where it was read before by $earlier.how',
    async (given) => {
      const { read, earlier } = given
      const app = createGateway({ tenant: credential('Authorization') })
      app.use(before(earlier?.read ?? (() => {})))
      app.post('/handled', idempotent(), async (c) => new Response((await read(c)) as BodyInit))
      const send = clientOf(app, '/handled')
      const answer = await send(crypto.randomUUID(), { body: 'b=2&a=%31', headers: FORM })
      expect(['1', 'b=2&a=%31']).toContain(await answer.text())
    },
  )

  it('comes after a validator of forms', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    const check = validator('form', (form) => form)
    app.post('/validated', check, idempotent(), async (c) => c.text(await c.req.text()))
    const send = clientOf(app, '/validated')
    const options = { body: 'b=2&a=%31', headers: FORM }
    expect(await (await send('validated', options)).text()).toBe('b=2&a=%31')
    expect(word(await send('validated', options))).toBe('replayed')
  })
})
