import {
  abortAllDurableObjects,
  createExecutionContext,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { afterEach, describe, expect, it, vi } from 'vitest'

import type { OperationRecord } from '../../src/core/operation/record.ts'
import {
  batch,
  consume,
  createGateway,
  createWorker,
  credential,
  forward,
  hapax,
  type IdempotencyObject,
  idempotent,
  passTo,
  type PolicyOptions,
  probe,
  protect,
  secret,
  service,
  url,
} from '../../src/hapax.ts'
import { openStoredRequest } from '../../src/platform/stored-request.ts'
import { askerOf, refusal } from './ask.ts'
import { idOf, objectOf, readRecord } from './client.ts'
import { clientOf, createOperatedGateway, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

const TOKEN = 'the-token-of-payments'
const CLIENT = 'Bearer tenant-a'

const origins = {
  payments: url('https://pay.test/v2', {
    headers: {
      Authorization: secret('PAYMENTS_TOKEN', { scheme: 'Bearer' }),
      'X-Api-Version': '2026-11-01',
      'X-Session': false,
    },
    strip: '/pay',
    timeout: '7s',
    retry: { attempts: 2, base: 0, cap: 0 },
  }),
  crm: url('CRM_URL', { strip: '/crm' }),
  ledger: service('LEDGER', { headers: { 'X-Token': secret('PAYMENTS_TOKEN'), Cookie: true } }),
  poor: url('https://poor.test', { headers: { 'X-Key': secret('NO_SUCH_SECRET') } }),
}

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const createApp = () => createGateway({ tenant: credential('Authorization'), origins })

/** A route under the prefix of payments. */
function paying(policy: PolicyOptions = {}) {
  const app = createApp()
  app.post('/pay/charges', protect({ origin: 'payments', ...policy }))
  return clientOf(app, '/pay/charges')
}

const created = () => Response.json({ id: 'ch_1' }, { status: 201 })
const broken = () => new Response('oops', { status: 500 })

/** Makes the alarm's time come, without waiting for it. */
async function ringAlarm(key: string): Promise<void> {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + 6_000)
  await runDurableObjectAlarm(await objectOf(key))
}

/** As after a restart: nothing of the object is in memory. */
const evict = () => abortAllDurableObjects()

const credentialsOf = (requests: readonly Request[]) =>
  requests.map(({ url: to, headers }) => [new URL(to).host, headers.get('Authorization')])

describe('origin', () => {
  it('selects the origin of a route; all others go to the own one', async () => {
    const app = createApp()
    app.post('/pay/charges', protect({ origin: 'payments' }))
    app.post('/crm/contacts', protect({ origin: 'crm' }))
    app.post('/orders', protect())
    const origin = playOrigin(created)
    for (const path of ['/pay/charges', '/crm/contacts', '/orders', '/pay/other']) {
      expect((await clientOf(app, path)(`to${path.replaceAll('/', '-')}`)).status).toBe(201)
    }
    expect(origin.requests.map(({ url: to }) => to)).toEqual([
      'https://pay.test/v2/charges',
      'https://crm.test/contacts',
      `${env.ORIGIN_URL}/orders`,
      `${env.ORIGIN_URL}/pay/other`,
    ])
  })

  it('replays a response of another origin, and tells another request from it', async () => {
    const origin = playOrigin(created)
    const send = paying()
    await send('again')
    const again = await send('again')
    const other = await send('again', { body: '{"amount":2}' })
    expect([again, other].map((response) => word(response))).toEqual(['replayed', 'mismatch'])
    expect(origin.requests).toHaveLength(1)
  })

  it('also counts for requests that the route does not protect', async () => {
    const app = createApp()
    app.all('/pay/*', protect({ origin: 'payments' }))
    app.post('/crm/seen', protect({ origin: 'crm', mode: 'observe' }))
    app.post('/crm/off', protect({ origin: 'crm', mode: 'off' }))
    app.post('/crm/open', protect({ origin: 'crm', required: false }))
    const origin = playOrigin(created)
    await clientOf(app, '/pay/charges/1')('safe', { method: 'GET', isKeyless: true })
    await clientOf(app, '/crm/seen')('seen')
    await clientOf(app, '/crm/off')('off')
    await clientOf(app, '/crm/open')('open', { isKeyless: true, search: '?a=1' })
    expect(origin.requests.map(({ url: to }) => to)).toEqual([
      'https://pay.test/v2/charges/1',
      'https://crm.test/seen',
      'https://crm.test/off',
      'https://crm.test/open?a=1',
    ])
  })

  it('sends messages there', async () => {
    const origin = playOrigin(created)
    const consumer = consume(
      { 'charge.requested': { handle: forward('/pay/charges'), origin: 'payments' } },
      { tenant: () => 'tenant-a', type: () => 'charge.requested' },
    )
    const worker = createWorker(createApp(), { queue: consumer })
    const ctx = createExecutionContext()
    const message = {
      id: 'message-1',
      timestamp: new Date(),
      body: { amount: 1 },
      attempts: 1,
      ack: vi.fn(),
      retry: vi.fn(),
    }
    await worker.queue?.({ queue: 'charges', messages: [message] } as never, env, ctx)
    await waitOnExecutionContext(ctx)
    expect(credentialsOf(origin.requests)).toEqual([['pay.test', `Bearer ${TOKEN}`]])
    expect(message.ack).toHaveBeenCalledOnce()
  })
})

describe('headers', () => {
  it('replace those of the client and their twins, and remove what is for the gateway', async () => {
    const origin = playOrigin(created)
    await paying()('headers', {
      headers: {
        Cookie: 'session=1',
        'Cf-Access-Jwt-Assertion': 'the.token.of-access',
        'X-Api-Version': 'mine',
        X_Api_Version: 'twin',
        'X-Session': '1',
        'X-Trace': 'kept',
      },
    })
    const sent = Object.fromEntries(origin.requests[0]?.headers ?? [])
    expect(sent).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      'x-api-version': '2026-11-01',
      'x-trace': 'kept',
      'idempotency-key': await idOf('headers'),
      'idempotency-attempt': '1',
      'content-type': 'application/json',
    })
    expect(Object.keys(sent)).not.toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^(?:cf-access-.*|cookie|x-session|x_api_version)$/),
      ]),
    )
  })

  it('leave the credential of the client where the origin has no secret of its own', async () => {
    const app = createApp()
    app.post('/crm/contacts', protect({ origin: 'crm' }))
    const origin = playOrigin(created)
    await clientOf(app, '/crm/contacts')('forwarded', { headers: { Cookie: 'session=1' } })
    expect(credentialsOf(origin.requests)).toEqual([['crm.test', CLIENT]])
    expect(origin.requests[0]?.headers.get('Cookie')).toBe('session=1')
  })

  it('keep what `true` names, for a service binding as well', async () => {
    const app = createApp()
    app.all('/ledger/*', passTo('ledger'))
    const fetcher = vi.fn(async (input: RequestInfo, init?: RequestInit) => {
      const { url: to, headers } = new Request(input, init)
      return Response.json({ to, headers: Object.fromEntries(headers) })
    })
    const response = await clientOf(app, '/ledger/entries')('bound', {
      env: { LEDGER: { fetch: fetcher } },
      headers: { Cookie: 'session=1', Host: 'gateway.test' },
    })
    const { to, headers } = await response.json<{ to: string; headers: Record<string, string> }>()
    expect(to).toBe('https://origin.internal/ledger/entries')
    expect(headers).toMatchObject({ 'x-token': TOKEN, cookie: 'session=1' })
    expect(headers).not.toHaveProperty('authorization')
    expect(headers).not.toHaveProperty('host')
  })

  it('are in no record, no stored request and no line of the log', async () => {
    const lines: unknown[] = []
    for (const level of ['log', 'error'] as const) {
      vi.spyOn(console, level).mockImplementation((line) => lines.push(line))
    }
    playOrigin(broken)
    await paying({ unknown: 'resend', durable: true, retry: { attempts: 1 } })('unseen')
    const stored = await readStored('unseen')
    expect(stored.record).toMatchObject({ state: 'unknown', origin: 'payments' })
    expect(JSON.stringify([stored, lines])).not.toContain(TOKEN)
    expect(lines).toHaveLength(1)
  })
})

/** The record of an operation, and the request that is stored with it, in clear. */
async function readStored(key: string) {
  const id = await idOf(key)
  const bytes = await runInDurableObject(await objectOf(key), (_, { storage: { sql } }) => {
    const rows = sql.exec<{ bytes: ArrayBuffer }>(
      "SELECT bytes FROM body WHERE belongs_to = 'request' ORDER BY part",
    )
    return Array.from(rows, (row) => new Uint8Array(row.bytes))
  })
  const [first = new Uint8Array()] = bytes
  return { record: await readRecord(key), stored: await openStoredRequest(env, id, first) }
}

describe('a credential of one origin', () => {
  /** Every request of a route with `payments`, one after another, with what the origin answers. */
  const occasions: readonly {
    when: string
    policy: PolicyOptions
    answers: readonly (() => Response)[]
    more?: (send: ReturnType<typeof paying>, key: string) => Promise<unknown>
    paths: readonly string[]
  }[] = [
    { when: 'on a retry', policy: {}, answers: [refused, created], paths: ['charges', 'charges'] },
    {
      when: 'when the alarm sends again after a restart',
      policy: { unknown: 'resend', durable: true, retry: { attempts: 1 } },
      answers: [broken, created],
      more: async (_, key) => {
        await evict()
        await ringAlarm(key)
      },
      paths: ['charges', 'charges'],
    },
    {
      when: 'when the alarm asks after a restart',
      policy: { unknown: probe('/by-key/{key}') },
      answers: [broken, created],
      more: async (_, key) => {
        await evict()
        await ringAlarm(key)
      },
      paths: ['charges', 'by-key'],
    },
    {
      when: 'when the next request asks and calls again',
      policy: { unknown: probe('/by-key/{key}', { grace: 0 }) },
      answers: [broken, () => new Response(null, { status: 404 }), created],
      more: (send, key) => send(key),
      paths: ['charges', 'by-key', 'charges'],
    },
    {
      when: 'before a replay',
      policy: { reauthorize: '/may' },
      answers: [created, () => new Response()],
      more: (send, key) => send(key),
      paths: ['charges', 'may'],
    },
    {
      when: 'without a key',
      policy: { required: false },
      answers: [created, created],
      more: (send) => send('', { isKeyless: true }),
      paths: ['charges', 'charges'],
    },
    {
      when: 'for each item of a batch',
      policy: { key: batch('', '/id'), retry: { attempts: 1 } },
      answers: [created, created],
      more: (send) => send('', { isKeyless: true, body: '[{"id":1},{"id":2}]' }),
      paths: ['charges', 'charges'],
    },
    {
      when: 'while it observes',
      policy: { mode: 'observe' },
      answers: [created],
      paths: ['charges'],
    },
  ]

  it.each(occasions)('appears there $when', async ({ when, policy, answers, more, paths }) => {
    const left = [...answers]
    const origin = playOrigin(() => left.shift()?.() ?? broken())
    const send = paying(policy)
    const key = when.replaceAll(' ', '-')
    if (policy.key === undefined) await send(key)
    await more?.(send, key)
    expect(
      origin.requests.map(({ url: to }) => new URL(to).pathname.split('/')[2]),
      'the requests that this case is about',
    ).toEqual(paths)
    expect(credentialsOf(origin.requests)).toEqual(paths.map(() => ['pay.test', `Bearer ${TOKEN}`]))
  })

  it('appears at no other, whatever passes through at the same time', async () => {
    const app = createApp()
    app.all('/pay/*', passTo('payments'))
    app.all('/crm/*', passTo('crm'))
    app.post('/orders', protect())
    const origin = playOrigin(created)
    const paths = ['/pay/a', '/crm/b', '/orders', '/c', '/pay/d']
    await Promise.all(paths.map((path) => clientOf(app, path)('mixed')))
    const holders = origin.requests.filter(({ headers }) =>
      [...headers].some(([, value]) => value.includes(TOKEN)),
    )
    expect(holders.map(({ url: to }) => new URL(to).host)).toEqual(['pay.test', 'pay.test'])
    expect(origin.requests).toHaveLength(5)
  })
})

function refused(): Response {
  return Response.json({ error: 'busy' }, { status: 503 })
}

describe('an unknown outcome', () => {
  const rename = async (key: string, to: string | undefined) =>
    runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) => {
      const [row] = sql.exec<{ record: string }>('SELECT record FROM operation').toArray()
      const { origin: _origin, ...record } = JSON.parse(row?.record ?? '') as OperationRecord
      const renamed = JSON.stringify({ ...record, ...(to && { origin: to }) })
      sql.exec('UPDATE operation SET record = ?', renamed)
    })

  it.each([
    { name: 'resend', policy: { unknown: 'resend', durable: true } },
    { name: 'probe', policy: { unknown: probe('/by-key/{key}', { grace: 0 }) } },
  ] as const)(
    'stays so when its origin is gone from the deployment, under $name',
    async ({ name, policy }) => {
      const origin = playOrigin(broken)
      const send = paying({ ...policy, retry: { attempts: 1 } })
      const key = `gone-${name}`
      await send(key)
      await rename(key, 'gone')
      await evict()
      const log = vi.spyOn(console, 'error').mockImplementation(() => {})
      await ringAlarm(key)
      const again = await send(key)
      expect([again.status, again.headers.get('Hapax-Error')]).toEqual([409, 'outcome-unknown'])
      expect(origin.requests).toHaveLength(1)
      expect(await readRecord(key)).toMatchObject({ state: 'unknown', origin: 'gone' })
      expect(log.mock.calls.join()).toContain('there is no gone in origins')
    },
  )

  it('of an earlier version is asked for at the own origin', async () => {
    const origin = playOrigin(broken)
    const app = createApp()
    app.post('/orders', protect({ unknown: 'resend', durable: true }))
    await clientOf(app, '/orders')('earlier')
    expect(await readRecord('earlier')).not.toHaveProperty('origin')
    await evict()
    await ringAlarm('earlier')
    const urls = origin.requests.map(({ url: to }) => to)
    expect(urls).toEqual([`${env.ORIGIN_URL}/orders`, `${env.ORIGIN_URL}/orders`])
  })

  it('is resolved where its calls went, also after its route has another origin', async () => {
    const answers = [broken, () => new Response(null, { status: 404 }), created]
    const origin = playOrigin(() => answers.shift()?.() ?? broken())
    const unknown = probe('/by-key/{key}', { grace: 0 })
    await paying({ unknown, retry: { attempts: 1 }, operation: 'charge' })('moved')
    const app = createApp()
    app.post('/pay/charges', protect({ unknown, origin: 'crm', operation: 'charge' }))
    expect((await clientOf(app, '/pay/charges')('moved')).status).toBe(201)
    expect(origin.requests.map(({ url: to }) => new URL(to).host)).toEqual([
      'pay.test',
      'pay.test',
      'crm.test',
    ])
    expect(await readRecord('moved')).toMatchObject({ state: 'succeeded', origin: 'crm' })
  })
})

describe('defaults', () => {
  it('are those of the origin, where the route says nothing', async () => {
    const app = createApp()
    app.post('/a', protect({ origin: 'payments' }))
    app.post('/b', protect({ origin: 'payments', timeout: '9s', unknown: probe('/x') }))
    app.post('/c', protect({ origin: 'crm' }))
    app.post('/d', idempotent({ origin: 'payments', unknown: probe('/x') }), (c) => c.text(''))
    const response = await askerOf(app)('/.well-known/idempotency', { method: 'GET' })
    const contract = await response.json<{ operations: Record<string, unknown>[] }>()
    const times = contract.operations.map((one) => [
      one['timeoutSeconds'],
      one['probeGraceSeconds'],
    ])
    expect(times).toEqual([
      [7, undefined],
      [9, 9],
      [30, undefined],
      [7, 7],
    ])
    expect(JSON.stringify(contract)).not.toMatch(/payments|pay\.test/)
  })

  it('let a route say otherwise, field by field', async () => {
    const origin = playOrigin(refused)
    await paying({ retry: { attempts: 3 } })('own-retries')
    await paying({ retry: { deadline: '20s' } })('retries-of-the-origin')
    expect(origin.requests).toHaveLength(5)
  })
})

describe('the circuit', () => {
  it('opens for one origin', async () => {
    const app = createApp()
    const breaker = { failures: 1, cooldown: '60s' } as const
    const policy = { retry: { attempts: 1, breaker } }
    app.post('/pay/charges', protect({ ...policy, origin: 'payments' }))
    app.post('/pay/refunds', protect({ ...policy, origin: 'payments' }))
    app.post('/crm/contacts', protect({ ...policy, origin: 'crm' }))
    app.post('/orders', protect(policy))
    const origin = playOrigin(broken)
    for (const path of ['/pay/charges', '/pay/refunds', '/crm/contacts', '/orders', '/orders']) {
      await clientOf(app, path)(`circuit-${path.slice(1).replace('/', '-')}`)
    }
    expect(origin.requests.map(({ url: to }) => new URL(to).pathname)).toEqual([
      '/v2/charges',
      '/contacts',
      '/orders',
    ])
  })
})

describe('passTo', () => {
  it.each([
    { path: '/crm/contacts?q=a%20b', to: '/contacts?q=a%20b' },
    { path: '/crm', to: '/' },
    { path: '/crm/', to: '/' },
    { path: '/crm?q', to: '/?q' },
    { path: '//crm//contacts//1/', to: '//contacts//1/' },
    { path: '/%63rm/contacts', to: '/contacts' },
    { path: '/crm/https://a.example/b', to: '/https://a.example/b' },
    { path: '/crm/x/../contacts', to: '/contacts' },
  ])('sends $path as $to', async ({ path, to }) => {
    const app = createApp()
    app.all('/crm/*', passTo('crm'))
    const origin = playOrigin(() => new Response('passed'))
    const response = await askerOf(app)(path, { body: 'unread', headers: { Accept: 'text/plain' } })
    expect(await response.text()).toBe('passed')
    expect(origin.requests.map((request) => request.url)).toEqual([`https://crm.test${to}`])
    expect(await origin.requests[0]?.text()).toBe('unread')
    expect(origin.requests[0]?.headers.has('Idempotency-Key')).toBe(false)
  })

  it('works in an app of your own, where `hapax` is not in front of it as well', async () => {
    const app = new Hono<{ Bindings: { readonly OWN: string } }>()
    app.all('/crm/*', passTo('crm'))
    app.all('/lost/*', passTo('nowhere'))
    app.use(hapax({ tenant: credential('Authorization'), origins }))
    app.post('/pay/charges', protect({ origin: 'payments' }))
    app.all('/pay/*', passTo('payments'))
    const sent = playOrigin(created)
    const ask = async (path: string, method = 'POST') => {
      const headers = { Authorization: CLIENT, 'Idempotency-Key': 'foreign' }
      const request = new Request(`https://own.test${path}`, { method, headers })
      return app.fetch(request, env, createExecutionContext())
    }
    await ask('/crm/x//y')
    await ask('/pay/charges')
    await ask('/pay/charges/1', 'GET')
    expect(sent.requests.map(({ url: to }) => to)).toEqual([
      'https://crm.test/x//y',
      'https://pay.test/v2/charges',
      'https://pay.test/v2/charges/1',
    ])
    expect(refusal(await ask('/lost/x'))).toEqual([500, 'gateway-misconfigured'])
  })

  it('removes a prefix only where it ends', async () => {
    const app = createApp()
    app.all('/*', passTo('crm'))
    const origin = playOrigin(() => new Response())
    await askerOf(app)('/crms/1')
    expect(origin.requests[0]?.url).toBe('https://crm.test/crms/1')
  })

  it('returns redirects and streams as they are', async () => {
    const app = createApp()
    app.all('/pay/*', passTo('payments'))
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const answers = [
      () => new Response(null, { status: 302, headers: { Location: 'https://pay.test/v2/x' } }),
      () => new Response(readable),
    ]
    playOrigin(() => answers.shift()?.() ?? broken())
    const send = clientOf(app, '/pay/a', { isWaiting: false })
    const moved = await send('')
    expect([moved.status, moved.headers.get('Location')]).toEqual([302, 'https://pay.test/v2/x'])
    const streamed = await send('')
    const writer = writable.getWriter()
    const reader = streamed.body?.getReader()
    void writer.write(new TextEncoder().encode('first'))
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('first')
    await reader?.cancel()
  })

  it('passes an upgrade on, with the headers of the origin', async () => {
    const app = createApp()
    app.all('/pay/*', passTo('payments'))
    const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket]
    server.accept()
    server.addEventListener('message', ({ data }) => server.send(`echo ${String(data)}`))
    const origin = playOrigin(() => new Response(null, { status: 101, webSocket: client }))
    const response = await clientOf(app, '/pay/live', { isWaiting: false })('', {
      method: 'GET',
      headers: { Upgrade: 'websocket' },
    })
    const { headers } = origin.requests[0] ?? new Request('https://none.test')
    expect([headers.get('Upgrade'), headers.get('Authorization')]).toEqual([
      'websocket',
      `Bearer ${TOKEN}`,
    ])
    const socket = response.webSocket
    socket?.accept()
    const answered = new Promise((resolve) =>
      socket?.addEventListener('message', ({ data }) => resolve(data)),
    )
    socket?.send('hello')
    expect(await answered).toBe('echo hello')
    socket?.close()
  })
})

describe('a base path', () => {
  it.each(['/../pay/charges', '/pay/../../charges', '/pay/%2e%2e/%2e%2e/admin'])(
    'is left by no request: %s',
    async (path) => {
      const app = createApp()
      app.all('/pay/*', passTo('payments'))
      const origin = playOrigin(created)
      // A URL would be normalised before it is sent.
      const request = rawRequest(path) as never
      const ctx = createExecutionContext()
      const response = await createWorker(app).fetch?.(request, env, ctx)
      expect(refusal(response ?? new Response())).toEqual([400, 'request-invalid'])
      expect(origin.requests).toEqual([])
    },
  )
})

/** A request as the platform gives it out, whose URL is as the client wrote it. */
function rawRequest(path: string) {
  const request = new Request('https://gateway.test/', { method: 'POST', body: '{}' })
  return new Proxy(request, {
    get: (target, name) =>
      name === 'url' ? `https://gateway.test${path}` : Reflect.get(target, name, target),
  })
}

describe('what is missing', () => {
  it('is an origin: the Worker does not start, and says which ones there are', () => {
    const app = createApp()
    app.post('/a', protect({ origin: 'paymets' }))
    app.all('/b/*', passTo('nowhere'))
    app.post('/c', protect({ origin: 'payments' }))
    expect(() => createWorker(app)).toThrow(
      [
        'The policy of POST /a is not valid:',
        '  origin: there is no paymets in origins, which has payments, crm, ledger, poor',
      ].join('\n'),
    )
    expect(() => createWorker(app)).toThrow(/ALL \/b\/\*.*\n.*there is no nowhere/)
  })

  it('is an origin: each request says so where nothing checks at start', async () => {
    const app = createApp()
    app.post('/a', protect({ origin: 'paymets' }))
    app.all('/b/*', passTo('nowhere'))
    const origin = playOrigin(created)
    for (const path of ['/a', '/b/c']) {
      const request = new Request(`https://gateway.test${path}`, {
        method: 'POST',
        body: '{}',
        headers: { Authorization: CLIENT, 'Idempotency-Key': 'unknown-origin' },
      })
      const response = await app.fetch(request, env, createExecutionContext())
      expect(refusal(response)).toEqual([500, 'gateway-misconfigured'])
    }
    expect(origin.requests).toEqual([])
  })

  it.each([
    {
      origin: 'poor',
      says: /The origin poor needs its header X-Key: there is no secret NO_SUCH_SECRET/,
    },
    { origin: 'ledger', says: /The origin ledger needs a service binding LEDGER/ },
    { origin: 'crm', says: /The origin crm needs a variable CRM_URL with an http or https URL/ },
  ])(
    'is something that $origin needs: it is named, and nothing is sent',
    async ({ origin, says }) => {
      const log = vi.spyOn(console, 'error').mockImplementation(() => {})
      const app = createApp()
      app.post('/a', protect({ origin }))
      app.all('/b', passTo(origin))
      const sent = playOrigin(created)
      for (const path of ['/a', '/b']) {
        const response = await clientOf(app, path)('misses', { env: { CRM_URL: 'crm.test' } })
        expect(refusal(response)).toEqual([500, 'gateway-misconfigured'])
      }
      expect(log.mock.calls.filter(([line]) => says.test(String(line)))).toHaveLength(2)
      expect(sent.requests).toEqual([])
    },
  )
})

describe('metrics and operators', () => {
  it('name the origin of a request and of its recovery', async () => {
    const points: AnalyticsEngineDataPoint[] = []
    vi.spyOn(env.METRICS, 'writeDataPoint').mockImplementation((point) => {
      if (point !== undefined) points.push(point)
    })
    playOrigin(broken)
    await paying({ unknown: 'resend', durable: true, retry: { attempts: 1 } })('counted')
    await ringAlarm('counted')
    const app = createApp()
    app.post('/orders', protect())
    await clientOf(app, '/orders')('own')
    expect(points.map(({ blobs }) => [blobs?.[1], blobs?.[13]])).toEqual([
      ['POST', 'payments'],
      ['ALARM', 'payments'],
      ['POST', ''],
    ])
  })

  it('show the origin of an operation', async () => {
    const app = createOperatedGateway({ tenant: credential('Authorization'), origins })
    app.post('/pay/charges', protect({ origin: 'payments' }))
    playOrigin(created)
    await clientOf(app, '/pay/charges')('shown')
    const id = await idOf('shown')
    const response = await clientOf(app, `/_hapax/admin/operations/${id}`)('', {
      method: 'GET',
      isKeyless: true,
      headers: { Authorization: 'Bearer admin' },
      env: { HAPAX_ADMIN_TOKEN: 'admin' },
    })
    expect(await response.json()).toMatchObject({ id, origin: 'payments' })
  })
})
