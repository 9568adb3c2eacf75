import type { Hono } from 'hono'
import { cors } from 'hono/cors'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type GatewayEnv,
  type GatewayOptions,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { askerOf, refusal } from './ask.ts'
import { word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

type Routes = (app: Hono<GatewayEnv>) => void

/** A gateway before an origin that says which method it got. */
function gatewayWith(routes: Routes, options: Partial<GatewayOptions> = {}) {
  const origin = playOrigin(({ method }) => new Response(null, { headers: { 'X-Got': method } }))
  const app = createGateway({ tenant: credential('Authorization'), ...options })
  routes(app)
  const ask = askerOf(app)
  const send = (method: string, path = '/x', headers: Record<string, string> = {}) =>
    ask(path, { method, headers })
  return { origin, send }
}

const SAFE = ['GET', 'HEAD', 'OPTIONS', 'QUERY']
const UNSAFE = ['POST', 'PUT', 'PATCH', 'DELETE', 'PURGE']

describe.each<{ route: string; routes: (policy: PolicyOptions) => Routes }>([
  { route: 'app.all with protect', routes: (policy) => (app) => app.all('/x', protect(policy)) },
  { route: 'app.use with protect', routes: (policy) => (app) => app.use('/x', protect(policy)) },
  {
    route: 'app.all with idempotent',
    routes: (policy) => (app) =>
      app.all('/x', idempotent(policy), (c) =>
        c.body(null, { headers: { 'X-Got': c.req.method } }),
      ),
  },
  {
    route: 'app.use with idempotent',
    routes: (policy) => (app) => {
      app.use('*', idempotent(policy))
      app.all('/x', (c) => c.body(null, { headers: { 'X-Got': c.req.method } }))
    },
  },
])('$route', ({ routes }) => {
  it.each(SAFE)('lets %s pass as if it were not there', async (method) => {
    const { send } = gatewayWith(routes({}))
    const answer = await send(method, '/x', { 'Idempotency-Key': 'a,b' })
    expect([answer.status, answer.headers.get('X-Got'), word(answer)]).toEqual([200, method, null])
  })

  it.each(UNSAFE)('guards %s', async (method) => {
    const { send } = gatewayWith(routes({}))
    expect(refusal(await send(method))).toEqual([400, 'key-missing'])
  })

  it('guards the methods that the policy names, and no other', async () => {
    const { send } = gatewayWith(routes({ methods: ['GET', 'POST'] }))
    for (const method of ['GET', 'HEAD', 'POST']) expect((await send(method)).status).toBe(400)
    for (const method of ['PUT', 'DELETE', 'OPTIONS']) {
      expect((await send(method)).headers.get('X-Got')).toBe(method)
    }
  })
})

describe('a route for every method', () => {
  it('answers the preflight of a browser', async () => {
    const { origin, send } = gatewayWith((app) => app.all('/x', protect()), {
      cors: cors({ origin: 'https://shop.example' }),
    })
    const preflight = { Origin: 'https://shop.example', 'Access-Control-Request-Method': 'POST' }
    const answer = await send('OPTIONS', '/x', preflight)
    expect(answer.status).toBe(204)
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('https://shop.example')
    expect(origin.requests).toHaveLength(0)
  })

  it('leaves a safe request to the handlers behind it', async () => {
    const { origin, send } = gatewayWith((app) => {
      app.use('/x/*', protect())
      app.get('/x/health', (c) => c.text('well'))
    })
    expect(await (await send('GET', '/x/health')).text()).toBe('well')
    expect(refusal(await send('POST', '/x/health'))).toEqual([400, 'key-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('counts nothing of a safe request that it observes', async () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => {})
    const { send } = gatewayWith((app) => app.all('/x', protect({ mode: 'observe' })))
    expect((await send('GET')).headers.get('X-Correlation-Id')).toBeNull()
    expect(log).not.toHaveBeenCalled()
    await send('POST')
    expect(log).toHaveBeenCalledOnce()
  })
})

describe('a route for one method', () => {
  it.each<{ name: string; routes: Routes }>([
    { name: 'app.get', routes: (app) => app.get('/x', protect()) },
    { name: 'app.on', routes: (app) => app.on(['GET', 'POST'], '/x', protect()) },
  ])('guards a safe one that $name registers', async ({ routes }) => {
    const { send } = gatewayWith(routes)
    for (const method of ['GET', 'HEAD']) expect((await send(method)).status).toBe(400)
  })

  it('fails at start where its policy does not name it', () => {
    const routes: Routes = (app) => app.post('/x', protect({ methods: ['PUT'] }))
    expect(() => gatewayWith(routes)).toThrow('POST /x is not valid:\n  methods: must hold POST')
  })
})
