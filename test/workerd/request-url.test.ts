import { createExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  type GatewayEnv,
  credential,
  idempotent,
  protect,
  type PolicyOptions,
} from '../../src/hapax.ts'
import { askerOf, refusal } from './ask.ts'
import { word, createOperatedGateway } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

const tenant = credential('Authorization')
const keyed = (key: string) => ({
  headers: { Authorization: 'Bearer a', 'Idempotency-Key': key },
  body: 'x',
})

describe('a route whose pattern is spelled in another way', () => {
  it.each([
    { pattern: '/payments/', path: '/payments' },
    { pattern: '/payments/', path: '/payments/' },
    { pattern: '/payments//', path: '//payments' },
    { pattern: '/a//:id/', path: '/a/1' },
    { pattern: '/', path: '/' },
    { pattern: '/files/:path{.+/x}', path: '/files/a/b/x' },
    { pattern: '/files/:path{.+}', path: '/files/a%0Ab' },
    { pattern: '/files/:path{.+}', path: '/files/a%E2%80%A8b' },
    { pattern: '/caf\u00E9', path: '/caf%c3%a9/' },
    { pattern: '/a b', path: '/a%20b' },
  ])('$pattern protects $path', async ({ pattern, path }) => {
    const origin = playOrigin(() => new Response('done', { status: 201 }))
    const app = createOperatedGateway({ tenant })
    app.post(pattern, protect())
    const ask = askerOf(app)
    const key = `${pattern}:${encodeURIComponent(path)}`.replaceAll(/[^\w-]/g, '_')
    expect(word(await ask(path, keyed(key)))).toBe('executed')
    expect(word(await ask(path, keyed(key)))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it('is the same in an app inside the app, and for what stands before it', async () => {
    playOrigin(() => new Response('done'))
    const inner = new Hono<GatewayEnv>()
    inner.post('/payments/', protect())
    const app = createOperatedGateway({ tenant })
    const passed: string[] = []
    app.use('/v1/payments/', async (c, next) => {
      passed.push(c.req.path)
      await next()
    })
    app.route('/v1/', inner)
    expect(word(await askerOf(app)('/v1/payments', keyed('inner')))).toBe('executed')
    expect(passed).toEqual(['/v1/payments'])
  })

  it('keeps its name as it is written', async () => {
    const app = createOperatedGateway({ tenant })
    app.post('/payments/', protect())
    const contract = await askerOf(app)('/.well-known/idempotency', { method: 'GET' })
    expect(await contract.json()).toMatchObject({
      operations: [{ operation: 'POST /payments/', path: '/payments/' }],
    })
  })
})

describe('a parameter of a path', () => {
  it.each([
    { path: '/a%2Fb', expected: 'a/b' },
    { path: '/%2541', expected: '%41' },
    { path: '/a%0Ab', expected: 'a\nb' },
    { path: '/%41%7e', expected: 'A~' },
    { path: '/100%', expected: '100%' },
  ])('is told to a handler as it was meant: $path', async ({ path, expected }) => {
    const app = createOperatedGateway({ tenant })
    app.post('/:name', idempotent(), (c) => c.json(c.req.param('name')))
    const answer = await askerOf(app)(path, keyed(`param-${path.replaceAll(/\W/g, '_')}`))
    expect(await answer.json()).toBe(expected)
  })
})

describe('where a request is forwarded without protection', () => {
  it.each([
    { name: 'mode off', policy: { mode: 'off' } },
    { name: 'no key', policy: { required: false } },
    { name: 'observe', policy: { mode: 'observe' } },
  ] satisfies { name: string; policy: PolicyOptions }[])(
    'its slashes stay, its dot segments do not: $name',
    async ({ policy }) => {
      const origin = playOrigin(() => new Response('done'))
      const app = createOperatedGateway({ tenant })
      app.post('/payments/:id', protect(policy))
      await askerOf(app)('//payments//x/../%61/?', { headers: { Authorization: 'Bearer a' } })
      const { ORIGIN_URL } = env
      expect(origin.requests.map(({ url }) => url)).toEqual([`${ORIGIN_URL}//payments//a/?`])
    },
  )
})

describe('where a request is forwarded on a protected route', () => {
  it.each([
    { pattern: '/proxy/:host/:path', sent: '//proxy//a/b//', expected: '/proxy/a/b/' },
    { pattern: '/proxy/*', sent: '/proxy/https://a//b/x/../', expected: '/proxy/https://a//b/' },
    { pattern: '/proxy/:url{.+}', sent: '/proxy/https://a//b', expected: '/proxy/https://a//b' },
  ])(
    'its slashes stay where $pattern leaves the rest open',
    async ({ pattern, sent, expected }) => {
      const origin = playOrigin(() => new Response('done'))
      const app = createOperatedGateway({ tenant })
      app.post(pattern, protect())
      const key = `open-${pattern.length}`
      const ask = askerOf(app)
      expect(word(await ask(sent, keyed(key)))).toBe('executed')
      expect(word(await ask(sent.replaceAll(/\/+/g, '/'), keyed(key)))).toBe('replayed')
      expect(origin.requests.map(({ url }) => url)).toEqual([`${env.ORIGIN_URL}${expected}`])
    },
  )
})

describe('a request that is refused for its URL', () => {
  function gatewayOf() {
    const origin = playOrigin(() => new Response('the origin'))
    const reached = vi.fn(() => {
      throw new Error('An object was reached.')
    })
    const app = createOperatedGateway({ tenant, cors: cors({ origin: 'https://app.test' }) })
    app.post('/payments', protect())
    app.post('/work', idempotent(), (c) => c.text('done'))
    async function send(path: string, headers: Record<string, string> = {}) {
      const all = { ...keyed('refused').headers, ...headers }
      const url = `https://gateway.test${path}`
      const request = new Request(url, { method: 'POST', body: 'x', headers: all })
      const objects = { getByName: reached, get: reached, idFromName: reached }
      const vars = { ...env, OPERATIONS: objects, DIRECTORY: objects, HAPAX_ADMIN_TOKEN: 't' }
      return app.fetch(request, vars, createExecutionContext())
    }
    return { origin, reached, send }
  }

  it.each(['/payments', '/work', '/other', '/_hapax/admin/stuck', '/_hapax/operations/x', '/'])(
    'goes nowhere, whatever it asks for: %s',
    async (path) => {
      const { origin, reached, send } = gatewayOf()
      const refused = await send(path, { Host: 'a@b' })
      expect(refusal(refused)).toEqual([400, 'request-invalid'])
      expect(await refused.json()).toMatchObject({ type: '/_hapax/problems/request-invalid' })
      const hidden = await send(`${path}/..%2Fx`)
      expect(refusal(hidden)).toEqual([400, 'request-invalid'])
      expect(await hidden.json()).toMatchObject({
        type: 'https://gateway.test/_hapax/problems/request-invalid',
      })
      expect([origin.requests, reached.mock.calls]).toEqual([[], []])
    },
  )

  it('is told so to a script of another origin as well', async () => {
    const refused = await gatewayOf().send('/..%2F', { Origin: 'https://app.test' })
    expect(refused.headers.get('Access-Control-Allow-Origin')).toBe('https://app.test')
    expect(refused.headers.get('Access-Control-Expose-Headers')).toContain('Hapax-Error')
  })
})
