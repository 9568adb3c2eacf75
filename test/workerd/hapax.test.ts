import { createExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createWorker,
  credential,
  hapax,
  idempotent,
  type OperationContext,
  protect,
} from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

const tenant = credential('Authorization')
const fresh = () => crypto.randomUUID()

afterEach(() => {
  vi.restoreAllMocks()
})

/** What a client gets: everything of a response that it can see. */
async function seen(response: Response) {
  const { status, statusText } = response
  return { status, statusText, headers: [...response.headers], body: await response.text() }
}

/** Calls an app as its Worker. */
function call(app: Hono, request: Request) {
  return app.fetch(request, env, createExecutionContext())
}

describe('hapax', () => {
  it('runs a protected handler of any app once and replays its response', async () => {
    const app = new Hono()
    const grants = vi.fn()
    app.use(hapax({ tenant }))
    app.post('/grants', idempotent(), (c) => {
      grants()
      return c.json({ id: fresh() }, 201)
    })
    const grant = clientOf(app, '/grants')
    const key = fresh()
    const [first, second] = [await grant(key), await grant(key)]
    expect([word(first), word(second)]).toEqual(['executed', 'replayed'])
    expect(second.headers.get('Idempotent-Replayed')).toBe('true')
    expect(await second.text()).toBe(await first.text())
    expect(grants).toHaveBeenCalledTimes(1)
  })

  it('forwards a route with protect to the origin once', async () => {
    const origin = playOrigin(() => new Response('paid', { status: 201 }))
    const app = new Hono()
    app.use(hapax({ tenant }))
    app.post('/payments', protect())
    const pay = clientOf(app, '/payments')
    const key = fresh()
    expect([word(await pay(key)), word(await pay(key))]).toEqual(['executed', 'replayed'])
    expect(origin.requests).toHaveLength(1)
  })

  it('keeps the middleware and the error handler of the app, and app.route', async () => {
    const app = new Hono()
    app.use(async (c, next) => {
      await next()
      c.header('X-Own', 'yes')
    })
    app.onError((error, c) => c.json({ own: error.message }, 500))
    app.use(hapax({ tenant }))
    const nested = new Hono()
    nested.post('/refunds', idempotent(), (c) => c.text('refunded'))
    nested.post('/broken', idempotent(), () => {
      throw new Error('broken')
    })
    app.route('/nested', nested)
    const refund = clientOf(app, '/nested/refunds')
    const key = fresh()
    await refund(key)
    const replayed = await refund(key)
    expect([word(replayed), replayed.headers.get('X-Own')]).toEqual(['replayed', 'yes'])
    const broken = await clientOf(app, '/nested/broken')(fresh())
    expect([broken.status, await broken.json()]).toEqual([500, { own: 'broken' }])
    expect(word(broken)).toBe('unknown')
  })

  describe('in an app with other routes', () => {
    /** The same app, with and without Hapax. */
    function appWith({ isProtected }: { readonly isProtected: boolean }) {
      const app = new Hono()
      app.get('/before', (c) => c.text('before'))
      if (isProtected) {
        app.use(hapax({ tenant }))
        app.post('/grants', idempotent(), (c) => c.text('granted'))
      }
      app.get('/docs/', (c) => c.text('docs with a slash'))
      app.get('/files/*', (c) => c.text(c.req.path))
      app.post('/echo', async (c) => c.json(await c.req.json()))
      app.post('/form', async (c) => c.json(await c.req.parseBody()))
      app.post('/raw', (c) => new Response(c.req.raw.body, { headers: { 'X-Raw': 'yes' } }))
      app.get('/throws', () => {
        throw new Error('own')
      })
      app.get('/_hapax/mine', (c) => c.text('mine'))
      app.get('/.well-known/security.txt', (c) => c.text('security'))
      return app
    }

    it.each([
      { path: '/before' },
      { path: '/docs/' },
      { path: '/docs' },
      { path: '/files/a//b' },
      { path: '/files/%2e%2e/a%2Fb?x=1' },
      { path: '/files/%zz' },
      { path: '/echo', method: 'POST', body: '{"a":1}' },
      { path: '/echo', method: 'POST', body: 'not json' },
      { path: '/form', method: 'POST', body: 'a=1&b=2', type: 'application/x-www-form-urlencoded' },
      { path: '/raw', method: 'POST', body: 'raw' },
      { path: '/throws' },
      { path: '/missing' },
      { path: '/docs/', method: 'DELETE' },
      { path: '/docs/', method: 'HEAD' },
      { path: '/_hapax/mine' },
      { path: '/_hapax/other' },
      { path: '/.well-known/security.txt' },
    ])('changes nothing of $method $path', async ({ path, method, body, type }) => {
      vi.spyOn(console, 'error').mockReturnValue()
      const request = () =>
        new Request(`https://gateway.test${path}`, {
          method: method ?? 'GET',
          body: body ?? null,
          headers: { Authorization: 'Bearer tenant-a', 'Content-Type': type ?? 'text/plain' },
        })
      const without = await seen(await call(appWith({ isProtected: false }), request()))
      const withHapax = await seen(await call(appWith({ isProtected: true }), request()))
      expect(withHapax).toEqual(without)
    })

    it('changes nothing of a request without bindings, as a test of an app makes it', async () => {
      const answer = await appWith({ isProtected: true }).request('/docs/')
      expect([answer.status, await answer.text()]).toEqual([200, 'docs with a slash'])
    })

    it('keeps paths apart that the app keeps apart', async () => {
      const app = new Hono()
      app.use(hapax({ tenant }))
      app.post('/files/*', idempotent(), (c) => c.text(c.req.path))
      const key = fresh()
      expect(word(await clientOf(app, '/files/a/b')(key))).toBe('executed')
      expect(word(await clientOf(app, '/files/a//b')(key))).toBe('mismatch')
    })
  })

  describe('below a path', () => {
    const mounted = [
      {
        how: 'a base path',
        create() {
          const app = new Hono().basePath('/api')
          app.use(hapax({ tenant }))
          app.post('/grants', idempotent(), (c) => c.text('granted', 201))
          return app
        },
      },
      {
        how: 'app.route',
        create() {
          const api = new Hono()
          api.use(hapax({ tenant }))
          api.post('/grants', idempotent(), (c) => c.text('granted', 201))
          return new Hono().route('/api', api)
        },
      },
      {
        how: 'a pattern',
        create() {
          const app = new Hono()
          app.use('/api/*', hapax({ tenant }))
          app.post('/api/grants', idempotent(), (c) => c.text('granted', 201))
          return app
        },
      },
      {
        how: 'a parameter',
        create() {
          const app = new Hono()
          app.use('/:version/*', hapax({ tenant }))
          app.post('/:version/grants', idempotent(), (c) => c.text('granted', 201))
          return app
        },
      },
    ]

    it.each(mounted)('serves its own pages below it: $how', async ({ create }) => {
      const app = create()
      const refused = await clientOf(app, '/api/grants')('', { isKeyless: true })
      const { type } = await refused.json<{ type: string }>()
      expect(type).toBe('https://gateway.test/api/_hapax/problems/key-missing')
      const read = clientOf(app, new URL(type).pathname)
      const page = await read('', { method: 'GET', isKeyless: true })
      expect([page.status, page.headers.get('Content-Type')]).toEqual([
        200,
        'text/html; charset=UTF-8',
      ])
      expect(await page.text()).toContain('href="/api/_hapax/problems"')
    })

    it.each(mounted)('shows an operation below it: $how', async ({ create }) => {
      const app = create()
      const key = fresh()
      await clientOf(app, '/api/grants')(key)
      const shown = await clientOf(app, '/api/_hapax/operations')(key, { method: 'GET' })
      const location = shown.headers.get('Content-Location') ?? ''
      expect(location).toMatch(/^\/api\/_hapax\/operations\/[\w-]{43}$/)
      const view = await clientOf(app, location)(key, { method: 'GET' })
      const { state, result } = await view.json<{ state: string; result: { url: string } }>()
      expect([state, result.url]).toEqual(['succeeded', `${location}/result`])
      const replayed = await clientOf(app, result.url)(key, { method: 'GET' })
      expect([replayed.status, await replayed.text()]).toEqual([201, 'granted'])
    })

    it('writes what a client has put into the path so that it stays a link', async () => {
      const app = new Hono()
      app.use('/:shop/*', hapax({ tenant }))
      app.post('/:shop/grants', idempotent(), (c) => c.text('granted', 201))
      const read = clientOf(app, '/%22%3E%3Cimg src=x%3E/_hapax/problems')
      const page = await read('', { method: 'GET', isKeyless: true })
      expect(await page.text()).toContain('href="/%22%3E%3Cimg%20src=x%3E/_hapax/problems/')
      const key = fresh()
      await clientOf(app, '/%E2%82%AC%2F/grants')(key)
      const shown = await clientOf(app, '/%E2%82%AC%2F/_hapax/operations')(key, { method: 'GET' })
      const location = shown.headers.get('Content-Location') ?? ''
      expect(location).toMatch(/^\/%E2%82%AC%2F\/_hapax\/operations\//)
      expect((await clientOf(app, location)(key, { method: 'GET' })).status).toBe(200)
    })

    it('names a place below it for a later result', async () => {
      const origin = playSlowOrigin(() => new Response('paid'))
      const app = new Hono().basePath('/api')
      app.use(hapax({ tenant }))
      app.post('/payments', protect())
      const pay = clientOf(app, '/api/payments', { isWaiting: false })
      const accepted = await pay(fresh(), { headers: { Prefer: 'respond-async' } })
      origin.release()
      expect(accepted.status).toBe(202)
      expect(accepted.headers.get('Location')).toMatch(/^\/api\/_hapax\/operations\//)
    })
  })

  it('serves the contract of the app that the Worker was created with', async () => {
    const appOf = (path: string) => {
      const app = new Hono()
      app.use('/in/*', hapax({ tenant }))
      app.use(hapax({ tenant }))
      app.post(path, idempotent(), (c) => c.text('done'))
      return app
    }
    const [one, two] = [clientOf(appOf('/one'), CONTRACT), clientOf(appOf('/two'), CONTRACT)]
    const pathsOf = async (read: typeof one) => {
      const answer = await read('', { method: 'GET', isKeyless: true })
      const { operations } = await answer.json<{ operations: { path: string; tenant?: false }[] }>()
      return operations.map(({ path, tenant: has }) => [path, has])
    }
    expect(await pathsOf(one)).toEqual([['/one', undefined]])
    expect(await pathsOf(two)).toEqual([['/two', undefined]])
  })

  it('serves the contract although a middleware has replaced the request', async () => {
    const app = new Hono()
    app.use(async (c, next) => {
      c.req.raw = new Request(c.req.raw, { headers: { 'X-Replaced': 'yes' } })
      await next()
    })
    app.use(hapax({ tenant }))
    const answer = await clientOf(app, CONTRACT)('', { method: 'GET', isKeyless: true })
    expect(answer.status).toBe(200)
  })

  it('says that the contract needs createWorker', async () => {
    vi.spyOn(console, 'error').mockReturnValue()
    const app = new Hono()
    app.use(hapax({ tenant }))
    const answer = await call(app, new Request(`https://gateway.test${CONTRACT}`))
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([
      500,
      'gateway-misconfigured',
    ])
  })

  it('says in the contract which routes have no tenant', async () => {
    const app = new Hono()
    app.post('/outside', idempotent(), (c) => c.text('done'))
    app.post('/api/above', idempotent(), (c) => c.text('done'))
    app.use('/api/*', hapax({ tenant }))
    app.post('/api/inside', idempotent(), (c) => c.text('done'))
    const read = clientOf(app, `/api${CONTRACT}`)
    const answer = await read('', { method: 'GET', isKeyless: true })
    expect(await answer.json()).toMatchObject({
      operations: [
        { path: '/outside', tenant: false },
        { path: '/api/above', tenant: false },
        { path: '/api/inside', key: {} },
      ],
    })
  })

  it('is missed by a protected route with a problem that says so', async () => {
    vi.spyOn(console, 'error').mockReturnValue()
    const app = new Hono()
    const handler = vi.fn()
    app.post('/grants', idempotent(), (c) => {
      handler()
      return c.text('granted')
    })
    app.post('/payments', protect())
    for (const path of ['/grants', '/payments']) {
      const answer = await clientOf(app, path)(fresh())
      expect(answer.status).toBe(500)
      expect(answer.headers.get('Hapax-Error')).toBe('gateway-misconfigured')
      expect(answer.headers.get('X-Should-Retry')).toBe('false')
    }
    expect(handler).not.toHaveBeenCalled()
  })

  it('refuses a URL that it cannot read, on a protected route only', async () => {
    const app = new Hono()
    app.use(hapax({ tenant }))
    app.post('/grants/*', idempotent(), (c) => c.text('granted'))
    app.post('/open/*', (c) => c.text('open'))
    const hidden = '/x%2f..%2fy'
    expect((await clientOf(app, `/grants${hidden}`)(fresh())).status).toBe(400)
    expect((await clientOf(app, `/open${hidden}`)(fresh())).status).toBe(200)
  })

  it.each(['off', 'observe'] as const)(
    'forwards no URL that it cannot read, on a route with mode: %s',
    async (mode) => {
      const origin = playOrigin(() => new Response('paid'))
      const app = new Hono()
      app.use(hapax({ tenant }))
      app.post('/payments/*', protect({ mode }))
      const answer = await clientOf(app, '/payments/x%2f..%2fy')(fresh())
      expect([answer.status, origin.requests.length]).toEqual([400, 0])
    },
  )

  it('forwards a safe request to the origin, unless a route after it answers', async () => {
    const origin = playOrigin(() => new Response('of the origin'))
    const app = new Hono()
    app.use(hapax({ tenant }))
    app.all('/payments/*', protect())
    app.get('/payments/mine', (c) => c.text('mine'))
    const get = async (path: string) =>
      (await clientOf(app, path)('', { method: 'GET', isKeyless: true })).text()
    expect(await get('/payments/1')).toBe('of the origin')
    expect(await get('/payments/mine')).toBe('mine')
    expect(origin.requests).toHaveLength(1)
  })

  it('serves operators where they are mounted', async () => {
    const app = new Hono()
    app.use(hapax({ tenant }))
    app.route('/_hapax', operators(app))
    app.post('/grants', idempotent(), (c) => c.text('granted'))
    const read = clientOf(app, '/_hapax/openapi.json')
    const answer = await read('', { method: 'GET', isKeyless: true })
    expect(Object.keys((await answer.json<{ paths: object }>()).paths)).toContain('/grants')
  })

  it('needs a tenant', () => {
    expect(() => hapax({} as never)).toThrow(
      "hapax needs a tenant, such as credential('Authorization').",
    )
  })
})

const CONTRACT = '/.well-known/idempotency'

describe('c.var.hapax', () => {
  function appWith(policy: Parameters<typeof idempotent>[0] = {}) {
    const app = new Hono()
    const handled: OperationContext[] = []
    app.use(hapax({ tenant }))
    app.post('/grants', idempotent(policy), (c) => {
      handled.push({ ...c.var.hapax })
      return c.text('granted', c.req.header('X-Fail') === undefined ? 200 : 503)
    })
    return { handled, grant: clientOf(app, '/grants') }
  }

  it('tells the handler its operation, and the key for the APIs that it calls', async () => {
    const { handled, grant } = appWith()
    const key = fresh()
    await grant(key, { headers: { 'X-Correlation-Id': 'corr-1' } })
    expect(handled).toEqual([
      {
        operationId: expect.stringMatching(/^[\w-]{43}$/),
        attempt: 1,
        tenant: expect.stringMatching(/^[\w-]{43}$/),
        correlationId: 'corr-1',
        key: handled[0]?.operationId,
        inDoubtMs: null,
        signal: expect.any(AbortSignal),
      },
    ])
    expect(JSON.stringify(handled)).not.toContain(key)
  })

  it('has the key that protect forwards', async () => {
    const origin = playOrigin(() => new Response('paid'))
    const app = new Hono()
    let key: string | null = null
    app.use(hapax({ tenant }))
    app.post('/shared', protect())
    app.post('/handled', idempotent(), (c) => {
      ;({ key } = c.var.hapax)
      return c.text('done')
    })
    const [one, other] = [fresh(), fresh()]
    await clientOf(app, '/shared')(one)
    await clientOf(app, '/handled')(other)
    const forwarded = origin.requests[0]?.headers.get('Idempotency-Key')
    expect(forwarded).toMatch(/^[\w-]{43}$/)
    expect(key).toMatch(/^[\w-]{43}$/)
    const shown = await clientOf(app, '/_hapax/operations')(one, { method: 'GET' })
    expect((await shown.json<{ id: string }>()).id).toBe(forwarded)
  })

  it.each([
    { forwardKey: 'client', expected: 'the-clients-key' },
    { forwardKey: false, expected: null },
  ] as const)('has the key that forwardKey: $forwardKey says', async ({ forwardKey, expected }) => {
    const { handled, grant } = appWith({ forwardKey, retention: '1ms' })
    await grant('the-clients-key')
    expect(handled[0]?.key).toBe(expected)
  })

  it('counts the attempts after an unknown outcome', async () => {
    const { handled, grant } = appWith({ unknown: 'resend', outcomes: { '503': 'unknown' } })
    const key = fresh()
    await grant(key, { headers: { 'X-Fail': '1' } })
    await grant(key)
    expect(handled.map(({ attempt }) => attempt)).toEqual([1, 2])
    expect(new Set(handled.map(({ key: derived }) => derived)).size).toBe(1)
  })

  it('has the key also if the store failed, and the request goes on without protection', async () => {
    vi.spyOn(console, 'error').mockReturnValue()
    const { handled, grant } = appWith({ onStoreError: 'open' })
    const OPERATIONS = { getByName: () => ({ claim: async () => ({ kind: 'store_fault' }) }) }
    expect(word(await grant(fresh(), { env: { OPERATIONS } }))).toBe('unprotected')
    expect(handled[0]?.key).toMatch(/^[\w-]{43}$/)
    expect(handled[0]?.operationId).toBe(handled[0]?.key)
  })

  it('says that a request without a key has no operation', async () => {
    const { handled, grant } = appWith({ required: false })
    await grant('', { isKeyless: true })
    expect(handled).toMatchObject([{ operationId: null, attempt: 1, tenant: null, key: null }])
  })
})

describe('createWorker', () => {
  it('has the handlers that it was given and no others', () => {
    const app = new Hono()
    expect(Object.keys(createWorker(app))).toEqual(['fetch'])
    const scheduled = vi.fn()
    const queue = vi.fn()
    const worker = createWorker(app, { queue, scheduled })
    expect(Object.keys(worker)).toEqual(['fetch', 'queue', 'scheduled'])
    expect(worker.scheduled).toBe(scheduled)
  })

  it('can be asked from a fetch handler that is not of Hono', async () => {
    const app = new Hono()
    app.use(hapax({ tenant }))
    app.post('/grants', idempotent(), (c) => c.text(fresh()))
    const guarded = createWorker(app)
    const own = async (request: Request) =>
      new URL(request.url).pathname === '/grants'
        ? guarded.fetch(request, env, createExecutionContext())
        : new Response('own')
    const key = fresh()
    const grant = () =>
      own(
        new Request('https://gateway.test/grants', {
          method: 'POST',
          headers: { Authorization: 'Bearer a', 'Idempotency-Key': key },
        }),
      )
    expect(await (await grant()).text()).toBe(await (await grant()).text())
    expect(await (await own(new Request('https://gateway.test/other'))).text()).toBe('own')
  })
})
