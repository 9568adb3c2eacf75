import { type Handler, Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { Contract, ContractOperation } from '../../src/core/response/contract.ts'
import {
  batch,
  body,
  business,
  from,
  credential,
  type GatewayEnv,
  type GatewayOptions,
  header,
  idempotent,
  mcp,
  type PolicyOptions,
  probe,
  protect,
  query,
  repeatability,
} from '../../src/hapax.ts'
import { askerOf, type ProblemBody } from './ask.ts'
import { createOperatedGateway } from './gateway.ts'
import { playOrigin } from './origin.ts'

const CONTRACT = '/.well-known/idempotency'
const OPENAPI = '/_hapax/openapi.json'

let origin: ReturnType<typeof playOrigin>
beforeEach(() => {
  origin = playOrigin(() => new Response('of the origin'))
})
afterEach(() => vi.restoreAllMocks())

type App = Hono<GatewayEnv>

/** A gateway with the routes of a test. */
function gatewayWith(addRoutes: (app: App) => unknown, options: Partial<GatewayOptions> = {}) {
  const app = createOperatedGateway({ tenant: credential('Authorization'), ...options })
  addRoutes(app)
  return askerOf(app)
}

/** The protected routes that a gateway tells of. */
async function operationsOf(addRoutes: (app: App) => unknown) {
  const answer = await gatewayWith(addRoutes)(CONTRACT, { method: 'GET' })
  const { version, operations } = await answer.json<Contract>()
  expect(version).toBe(1)
  return operations
}

/** What is told of one route with this policy. */
async function promiseOf(policy: PolicyOptions): Promise<ContractOperation> {
  const [operation, ...others] = await operationsOf((app) => app.post('/payments', protect(policy)))
  expect(others).toEqual([])
  if (operation === undefined) throw new Error('The route is not told of.')
  return operation
}

const routesOf = (operations: readonly ContractOperation[]) =>
  operations.map(({ method, path }) => `${method} ${path}`)

const problemsOf = async (policy: PolicyOptions) =>
  (await promiseOf(policy)).problems.map(({ type }) => type)

const ok: Handler<GatewayEnv> = (c) => c.text('ok')

const lose = () => Promise.reject<Response>(new Error('lost'))

const stall = ({ signal }: Request) =>
  new Promise<Response>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('aborted')))
  })

describe('/.well-known/idempotency', () => {
  it('tells of a route with nothing but defaults', async () => {
    const { problems, ...promise } = await promiseOf({})
    expect(promise).toEqual({
      operation: 'POST /payments',
      method: 'POST',
      path: '/payments',
      mode: 'enforce',
      preset: 'default',
      key: {
        required: true,
        sources: [{ in: 'header', name: 'Idempotency-Key', scope: 'tenant' }],
        format: 'any',
        minLength: 1,
        maxLength: 255,
      },
      retentionSeconds: 86_400,
      tombstoneSeconds: 0,
      waitSeconds: 10,
      timeoutSeconds: 30,
      fingerprint: { version: 'v1', ignore: [], dates: [], headers: [], query: true },
      limits: { requestBytes: 1_048_576, responseBytes: 8_388_608 },
      unknown: 'hold',
      respondAsync: true,
    })
    expect(problems).toContainEqual({
      type: 'key-missing',
      status: 400,
      title: 'Idempotency-Key is missing',
      retry: 'never',
    })
  })

  it('tells of a route with nothing but values of its own', async () => {
    const fingerprint = {
      ignore: ['/trace_id'],
      dates: ['/due_at'],
      headers: ['X-Currency'],
      query: false,
    }
    const { problems, ...promise } = await promiseOf({
      operation: 'pay',
      required: false,
      key: [header('X-Key'), body('/id')],
      keyFormat: { pattern: /^pay_\w+$/, minLength: 16 },
      mode: 'observe',
      retention: '72h',
      tombstone: '30d',
      wait: '1500ms',
      timeout: '5s',
      fingerprint,
      limits: { request: 10, response: 20 },
      unknown: probe('/by-key/{key}', { grace: '90s' }),
      preset: 'stripe',
      mismatchStatus: 409,
    })
    expect(promise).toEqual({
      operation: 'pay',
      method: 'POST',
      path: '/payments',
      mode: 'observe',
      preset: 'stripe',
      key: {
        required: false,
        sources: [
          { in: 'header', name: 'X-Key', scope: 'tenant' },
          { in: 'body', pointer: '/id', scope: 'operation' },
        ],
        format: 'pattern',
        pattern: '^pay_\\w+$',
        flags: '',
        minLength: 16,
        maxLength: 255,
      },
      retentionSeconds: 259_200,
      tombstoneSeconds: 2_592_000,
      waitSeconds: 1.5,
      timeoutSeconds: 5,
      fingerprint: { version: 'v1', ...fingerprint },
      limits: { requestBytes: 10, responseBytes: 20 },
      unknown: 'probe',
      probeGraceSeconds: 90,
      respondAsync: true,
    })
    expect(problems.find(({ type }) => type === 'key-reused')?.status).toBe(409)
  })

  it.each([
    { preset: 'default', expected: 409 },
    { preset: 'ietf', expected: 422 },
    { preset: 'stripe', expected: 400 },
  ] as const)('tells that a mismatch is $expected under $preset', async ({ preset, expected }) => {
    const { problems, ...promise } = await promiseOf({ preset })
    expect(promise.preset).toBe(preset)
    expect(problems.find(({ type }) => type === 'key-reused')?.status).toBe(expected)
  })

  it.each([
    {
      source: header('PayPal-Request-Id'),
      expected: { in: 'header', name: 'PayPal-Request-Id', scope: 'tenant' },
    },
    {
      source: header('webhook-id'),
      expected: { in: 'header', name: 'webhook-id', scope: 'operation' },
    },
    { source: body('/key'), expected: { in: 'body', pointer: '/key', scope: 'tenant' } },
    {
      source: query('event', { scope: 'tenant' }),
      expected: { in: 'query', name: 'event', scope: 'tenant' },
    },
    { source: from(() => 'secret'), expected: { in: 'function', scope: 'operation' } },
    {
      source: business('/a', '/b'),
      expected: { in: 'business', pointers: ['/a', '/b'], scope: 'operation' },
    },
    { source: repeatability(), expected: { in: 'repeatability', scope: 'tenant' } },
    { source: mcp('key'), expected: { in: 'mcp', meta: 'key', scope: 'tenant' } },
    {
      source: batch('/items', '/id', { size: 7, concurrency: 3 }),
      expected: { in: 'batch', items: '/items', pointer: '/id', size: 7, scope: 'operation' },
    },
  ])('tells that a key is in $expected.in', async ({ source, expected }) => {
    expect((await promiseOf({ key: source })).key.sources).toEqual([expected])
  })

  it('tells what of an MCP call does not count', async () => {
    const { ignore } = (await promiseOf({ key: mcp(), fingerprint: { ignore: ['/x'] } }))
      .fingerprint
    expect(ignore).toEqual([
      '/x',
      '/id',
      '/params/_meta',
      '/params/inputResponses',
      '/params/requestState',
    ])
  })

  it('tells that a key must be a UUID', async () => {
    expect((await promiseOf({ keyFormat: 'uuid' })).key.format).toBe('uuid')
  })

  it.each([
    { keyFormat: { pattern: /^[a-z]+$/i }, expected: { pattern: '^[a-z]+$', flags: 'i' } },
    { keyFormat: { pattern: /^[a-z]+/dg }, expected: { pattern: '^[a-z]+', flags: '' } },
    { keyFormat: { pattern: /[a-z]+/y }, expected: { pattern: '[a-z]+', flags: 'y' } },
    { keyFormat: { pattern: /uuid/ }, expected: { pattern: 'uuid', flags: '' } },
    { keyFormat: { pattern: /any/ }, expected: { pattern: 'any', flags: '' } },
  ])('tells that a key must match $keyFormat.pattern', async ({ keyFormat, expected }) => {
    const { key } = await promiseOf({ keyFormat })
    expect(key).toMatchObject({ format: 'pattern', ...expected })
  })

  it.each([{ minLength: 8 }, 'any', 'uuid'] as const)(
    'tells of no pattern where the format is %j',
    async (keyFormat) => {
      const { key } = await promiseOf({ keyFormat })
      expect(key.format).toBe(keyFormat === 'uuid' ? 'uuid' : 'any')
      expect(key).not.toHaveProperty('pattern')
      expect(key).not.toHaveProperty('flags')
    },
  )

  it('tells what is done about an unknown outcome', async () => {
    expect((await promiseOf({ unknown: 'resend' })).unknown).toBe('resend')
  })

  it('tells that a handler in the Worker is not asked for asynchronously', async () => {
    const [operation] = await operationsOf((app) =>
      app.post('/grants', idempotent({ wait: 0 }), ok),
    )
    expect(operation).toMatchObject({
      operation: 'POST /grants',
      waitSeconds: 0,
      respondAsync: false,
    })
  })

  it.each<{ problem: string; policy: PolicyOptions; without: PolicyOptions }>([
    { problem: 'key-missing', policy: {}, without: { required: false } },
    { problem: 'key-expired', policy: { tombstone: '1d' }, without: {} },
    { problem: 'circuit-open', policy: { retry: { breaker: {} } }, without: {} },
    { problem: 'rate-limited', policy: { limits: { rate: true } }, without: {} },
  ])('tells of $problem only where it can come', async ({ problem, policy, without }) => {
    expect(await problemsOf(policy)).toContain(problem)
    expect(await problemsOf(without)).not.toContain(problem)
  })

  it('tells of what can come everywhere, and of no problem of another route', async () => {
    const problems = await problemsOf({ required: false })
    expect(problems).toEqual(
      expect.arrayContaining([
        'key-reused',
        'key-invalid',
        'tenant-missing',
        'outcome-unknown',
        'result-not-kept',
      ]),
    )
    expect(problems).not.toContain('operation-not-found')
  })

  it('tells that a request that repeatability finds too old is answered with 412', async () => {
    const { problems } = await promiseOf({ key: repeatability() })
    expect(problems).toContainEqual(expect.objectContaining({ type: 'key-expired', status: 412 }))
  })

  const whatOf = async (policy: PolicyOptions, ...types: readonly string[]) =>
    (await promiseOf(policy)).problems
      .filter(({ type }) => types.includes(type))
      .map(({ type, status, retry }) => `${status} ${type}, ${retry}`)

  it.each<{ policy: PolicyOptions; expected: readonly string[] }>([
    {
      policy: {},
      expected: [
        '409 outcome-unknown, never',
        '502 outcome-unknown, never',
        '504 origin-timeout, never',
        '504 origin-timeout, same-key',
      ],
    },
    ...[{ unknown: 'resend' as const }, { unknown: probe('/by-key/{key}') }].map((policy) => ({
      policy,
      expected: [
        '409 outcome-unknown, wait',
        '502 outcome-unknown, wait',
        '504 origin-timeout, wait',
        '504 origin-timeout, same-key',
      ],
    })),
    {
      policy: { unknown: 'resend', required: false },
      expected: [
        '409 outcome-unknown, wait',
        '502 outcome-unknown, wait',
        '502 outcome-unknown, never',
        '504 origin-timeout, wait',
        '504 origin-timeout, never',
        '504 origin-timeout, same-key',
      ],
    },
  ])('tells of a lost answer under $policy that it is $expected', async ({ policy, expected }) => {
    const told = await whatOf(policy, 'outcome-unknown', 'origin-timeout')
    expect(told.toSorted()).toEqual(expected.toSorted())
  })

  it('tells that a handler in the Worker is not lost by the origin, nor cut off from it', async () => {
    const told = async (policy: PolicyOptions) => {
      const [operation] = await operationsOf((app) => app.post('/grants', idempotent(policy), ok))
      return operation?.problems
        .filter(({ type }) => /^(?:origin|circuit|outcome)/.test(type))
        .map(({ type, status, retry }) => `${status} ${type}, ${retry}`)
    }
    const lost = ['409 outcome-unknown, never', '502 outcome-unknown, never']
    expect(await told({ retry: { breaker: {} } })).toEqual([
      ...lost,
      '504 origin-timeout, same-key',
    ])
    expect(await told({ reauthorize: '/may' })).toContain('502 origin-unreachable, same-key')
  })

  it.each<{
    name: string
    policy: PolicyOptions
    keyless?: true
    answer: (request: Request) => Promise<Response>
  }>([
    ...(['hold', 'resend'] as const).flatMap((unknown) => [
      { name: `lost under ${unknown}`, policy: { unknown }, answer: lose },
      {
        name: `silent under ${unknown}`,
        policy: { unknown, timeout: '50ms' as const },
        answer: stall,
      },
      {
        name: `lost without a key under ${unknown}`,
        policy: { unknown, required: false },
        keyless: true as const,
        answer: lose,
      },
    ]),
    { name: 'lost under probe', policy: { unknown: probe('/by-key/{key}') }, answer: lose },
  ])('tells of what is answered to a call that is $name', async ({ policy, keyless, answer }) => {
    playOrigin(answer)
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect(policy))
    const headers = {
      Authorization: 'Bearer contract',
      ...(keyless ? {} : { 'Idempotency-Key': crypto.randomUUID() }),
    }
    const ask = askerOf(app)
    const { operations } = await (await ask(CONTRACT, { method: 'GET' })).json<Contract>()
    for (const nth of [1, 2]) {
      const answered = await ask('/payments', { headers })
      const { status, retry, type } = await answered.json<ProblemBody>()
      const told = expect.objectContaining({ type: type.split('/').at(-1), status, retry })
      expect({ nth, problems: operations[0]?.problems }).toEqual({
        nth,
        problems: expect.arrayContaining([told]),
      })
    }
  })

  it('tells of store-unavailable also where the route is open', async () => {
    expect(await problemsOf({ onStoreError: 'open' })).toContain('store-unavailable')
  })

  it('lists every protected route, in the order in which they are asked', async () => {
    const operations = await operationsOf((app) => {
      app.post('/payments', protect())
      app.get('/open', ok)
      app.patch('/orders/:id{\\d+}/status', protect({ mode: 'observe' }))
      app.post('/off', protect({ mode: 'off' }))
      app.post('/off-here', idempotent({ mode: 'off' }), ok)
      app.all('/everything/:case', protect())
      app.on(['PUT', 'DELETE'], ['/a', '/b'], protect())
      app.use('/grants/*', idempotent())
      app.post('/grants/:id', ok)
    })
    expect(routesOf(operations)).toEqual([
      'POST /payments',
      'PATCH /orders/:id{\\d+}/status',
      'ALL /everything/:case',
      'PUT /a',
      'DELETE /a',
      'PUT /b',
      'DELETE /b',
      'ALL /grants/*',
    ])
    expect(operations.map(({ operation }) => operation)).toEqual(routesOf(operations))
  })

  it('lists the routes of an app inside the app, under their whole path', async () => {
    const refunds = new Hono<GatewayEnv>()
      .post('/:id', protect({ retention: '1h' }))
      .post('/none', ok)
    const operations = await operationsOf((app) => {
      app.route('/api/refunds', refunds)
      app.basePath('/v2').post('/refunds', protect())
    })
    expect(routesOf(operations)).toEqual(['POST /api/refunds/:id', 'POST /v2/refunds'])
    expect(operations[0]?.retentionSeconds).toBe(3_600)
  })

  it('lists the routes of an app inside the app that handles its own errors', async () => {
    const refunds = new Hono<GatewayEnv>().post('/:id', protect())
    refunds.onError((_, c) => c.text('sorry', 500))
    const operations = await operationsOf((app) => app.route('/refunds', refunds))
    expect(routesOf(operations)).toEqual(['POST /refunds/:id'])
  })

  it('lists nothing where nothing is protected', async () => {
    expect(await operationsOf((app) => app.post('/off', protect({ mode: 'off' })))).toEqual([])
  })

  it('lists a route that protects all paths, which does not stand before the contract', async () => {
    const operations = await operationsOf((app) => app.all('*', protect()))
    expect(routesOf(operations)).toEqual(['ALL /*'])
    expect(origin.requests).toHaveLength(0)
  })
})

describe.each([CONTRACT, OPENAPI])('%s', (path) => {
  const addRoutes = (app: App) => app.post('/payments', protect())

  it('is there for everybody, for a minute', async () => {
    const ask = gatewayWith(addRoutes, { authenticate: (c) => Promise.resolve(c.text('no', 401)) })
    const answer = await ask(path, { method: 'GET', headers: { Origin: 'https://elsewhere.test' } })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('Content-Type')).toMatch(/^application\/json/)
    expect(answer.headers.get('Access-Control-Allow-Origin')).toBe('*')
    expect(answer.headers.get('Cache-Control')).toBe('public, max-age=60')
    expect(origin.requests).toHaveLength(0)
  })

  it('says so to HEAD too', async () => {
    const answer = await gatewayWith(addRoutes)(path, { method: 'HEAD' })
    expect([answer.status, await answer.text()]).toEqual([200, ''])
  })

  it.each(['POST', 'PUT', 'DELETE'])(
    'is not there for %s, and not at the origin',
    async (method) => {
      const answer = await gatewayWith(addRoutes)(path, { method })
      expect(answer.status).toBe(404)
      expect(origin.requests).toHaveLength(0)
    },
  )
})

describe('/_hapax/openapi.json', () => {
  interface OpenApi {
    readonly openapi: string
    readonly paths: Record<string, Record<string, { 'x-idempotency': Told }>>
    readonly 'x-idempotency-unmapped'?: readonly Told[]
  }

  interface Told {
    readonly operation: string
    readonly route: string
    readonly retentionSeconds: number
  }

  it('holds the routes of the contract', async () => {
    const ask = gatewayWith((app) => {
      app.post('/payments', protect({ retention: '72h', operation: 'pay' }))
      app.patch('/orders/:id/status', protect())
      app.all('/everything', protect())
      app.post('/files/*', protect())
      app.post('/off', protect({ mode: 'off' }))
      app.route('/api', new Hono<GatewayEnv>().post('/refunds', protect()))
    })
    const { operations } = await (await ask(CONTRACT, { method: 'GET' })).json<Contract>()
    const document = await (await ask(OPENAPI, { method: 'GET' })).json<OpenApi>()
    expect(document.openapi).toMatch(/^3\.1\./)
    const { paths, 'x-idempotency-unmapped': unmapped = [] } = document
    const told = Object.values(paths).flatMap((item) =>
      Object.values(item).map((operation) => operation['x-idempotency']),
    )
    const routes = new Set([...told, ...unmapped].map(({ route }) => route))
    expect([...routes].toSorted()).toEqual(routesOf(operations).toSorted())
    expect(paths['/payments']?.['post']?.['x-idempotency']).toMatchObject({
      operation: 'pay',
      retentionSeconds: 259_200,
    })
    expect(Object.keys(paths)).toContain('/orders/{id}/status')
    expect(Object.keys(paths)).not.toContain('/off')
  })
})
