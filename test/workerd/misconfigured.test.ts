import { createExecutionContext, createMessageBatch, getQueueResult } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { cors } from 'hono/cors'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { deployMetrics } from '../../src/config/deployed-metrics.ts'
import {
  attribute,
  consume,
  createGateway,
  credential,
  type GatewayOptions,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
  queue,
  webhook,
} from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'
import { askerOf, type ProblemBody } from './ask.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.restoreAllMocks()
  deployMetrics({ metrics: true })
})

/** A service binding: every name that is read of it can be called. */
const service = new Proxy(
  {},
  { get: (_, name) => (name === Symbol.toStringTag ? 'Fetcher' : () => {}) },
)

interface Options {
  readonly policy?: PolicyOptions
  readonly gateway?: Partial<GatewayOptions>
}

/** A gateway with a route of each kind. */
function gatewayWith({ policy = {}, gateway = {} }: Options = {}) {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {})
  const handler = vi.fn(() => new Response('done', { status: 201 }))
  const app = createGateway({ tenant: credential('Authorization'), ...gateway })
  app.route('/_hapax', operators(app))
  app.post('/payments', protect(policy))
  app.post('/grants', idempotent(policy), handler)
  return { app, log, handler }
}

const KINDS = [{ path: '/payments' }, { path: '/grants' }] as const

const LACKING = [
  {
    lacks: 'OPERATIONS',
    vars: { OPERATIONS: undefined },
    names: [/OPERATIONS .*IdempotencyObject/],
  },
  { lacks: 'DIRECTORY', vars: { DIRECTORY: undefined }, names: [/DIRECTORY .*DirectoryObject/] },
  { lacks: 'METRICS', vars: { METRICS: undefined }, names: [/METRICS .*metrics: false/] },
  {
    lacks: 'OPERATIONS, of another kind',
    vars: { OPERATIONS: { send: () => {} } },
    names: [/OPERATIONS/],
  },
  { lacks: 'OPERATIONS, of a service', vars: { OPERATIONS: service }, names: [/OPERATIONS/] },
  { lacks: 'METRICS, of a text', vars: { METRICS: 'metrics' }, names: [/METRICS/] },
  {
    lacks: 'all',
    vars: { OPERATIONS: undefined, DIRECTORY: undefined, METRICS: undefined },
    names: [/OPERATIONS/, /DIRECTORY/, /METRICS/],
  },
]

describe('a protected route', () => {
  it.each(LACKING.flatMap((lacking) => KINDS.map((kind) => ({ ...lacking, ...kind }))))(
    'of a Worker that lacks $lacks says so, and is not to be retried: $path',
    async ({ vars, names, path }) => {
      const origin = playOrigin(() => new Response('done'))
      const { app, handler } = gatewayWith()
      const send = clientOf(app, path)
      for (const answer of [
        await send('lacking', { env: vars }),
        await send('lacking', { env: vars }),
      ]) {
        expect([answer.status, word(answer)]).toEqual([500, 'rejected'])
        expect(answer.headers.get('Hapax-Error')).toBe('gateway-misconfigured')
        expect(answer.headers.get('X-Should-Retry')).toBe('false')
        const { detail, retryable } = await answer.json<ProblemBody>()
        for (const name of names) expect(detail).toMatch(name)
        expect(retryable).toBe(false)
      }
      expect([origin.requests.length, handler.mock.calls.length]).toEqual([0, 0])
    },
  )

  it.each(KINDS)('works without METRICS where there shall be none: $path', async ({ path }) => {
    playOrigin(() => new Response('done', { status: 201 }))
    const point = vi.spyOn(env.METRICS, 'writeDataPoint')
    const { app, log } = gatewayWith({ gateway: { metrics: false } })
    const answer = await clientOf(app, path)(`none-for${path}`, { env: { METRICS: undefined } })
    expect(answer.status).toBe(201)
    expect(point).not.toHaveBeenCalled()
    expect(log).not.toHaveBeenCalled()
  })

  it.each(KINDS)('whose objects are of another class says so: $path', async ({ path }) => {
    playOrigin(() => new Response('done'))
    const { app, handler } = gatewayWith()
    const answer = await clientOf(app, path)('class', { env: { OPERATIONS: env.DIRECTORY } })
    const { detail } = await answer.json<ProblemBody>()
    expect([answer.status, word(answer)]).toEqual([500, 'rejected'])
    expect(detail).toMatch(/OPERATIONS is not to .* IdempotencyObject/)
    expect(handler).not.toHaveBeenCalled()
  })

  const events: PolicyOptions['events'] = [
    { on: 'succeeded', to: queue('NO_QUEUE') },
    { on: 'failed', to: webhook('https://crm.test/hooks', { secret: 'NO_SECRET' }) },
  ]

  it.each<{ what: string; policy: PolicyOptions; vars?: object; names: RegExp }>([
    { what: 'an origin', policy: {}, vars: { ORIGIN_URL: '' }, names: /no origin.*ORIGIN_URL/ },
    { what: 'a usable origin', policy: {}, vars: { ORIGIN_URL: 'api.test' }, names: /ORIGIN_URL/ },
    { what: 'a rate limiter', policy: { limits: { rate: 'NO_LIMIT' } }, names: /NO_LIMIT/ },
    {
      what: 'a bucket',
      policy: { snapshot: { spill: 1_048_576 } },
      vars: { SNAPSHOTS: {} },
      names: /SNAPSHOTS/,
    },
    { what: 'a secret', policy: { snapshot: { seal: true } }, names: /HAPAX_SEAL_KEY/ },
    { what: 'a queue', policy: { events }, names: /binding NO_QUEUE/ },
    {
      what: 'several things',
      policy: { events: events.slice(1), limits: { rate: 'NO_LIMIT' } },
      vars: { DIRECTORY: undefined, ORIGIN_URL: '' },
      names: /DIRECTORY.*ORIGIN_URL.*NO_LIMIT.*NO_SECRET/,
    },
  ])('names $what that it needs, before it reads a request', async ({ policy, vars, names }) => {
    const { app } = gatewayWith({ policy })
    const send = clientOf(app, '/payments')
    const options = { env: { ...vars }, isKeyless: true }
    const answer = await send('', options)
    expect(answer.headers.get('Hapax-Error')).toBe('gateway-misconfigured')
    expect((await answer.json<ProblemBody>()).detail).toMatch(names)
  })

  it('with a handler needs an origin only for what asks it', async () => {
    const vars = { env: { ORIGIN_URL: '' } }
    const send = (policy: PolicyOptions) => clientOf(gatewayWith({ policy }).app, '/grants')
    expect((await send({})('none', vars)).status).toBe(201)
    expect((await send({ unknown: probe('/by-key/{key}') })('probe', vars)).status).toBe(500)
    expect((await send({ reauthorize: '/may' })('may', vars)).status).toBe(500)
  })

  it('that observes goes on, and the log says why nothing is observed', async () => {
    playOrigin(() => new Response('done', { status: 201 }))
    const { app, log } = gatewayWith({ policy: { mode: 'observe' } })
    const answer = await clientOf(app, '/payments')('observed', { env: { OPERATIONS: undefined } })
    expect(answer.status).toBe(201)
    expect(log.mock.calls.join()).toMatch(/nothing observed.*OPERATIONS/)
  })

  it('does not show what its own code throws', async () => {
    const tenant = () => {
      throw new Error('MARKED')
    }
    const answer = await clientOf(gatewayWith({ gateway: { tenant } }).app, '/payments')('hidden')
    expect(await answer.text()).not.toContain('MARKED')
  })
})

describe('a local origin', () => {
  const RAY = { 'CF-Ray': '8a1b-FRA' }
  const local = { ORIGIN_URL: 'http://localhost:8788/base' }

  it.each(['/payments', '/passed'])(
    'of a deployed Worker is a fault of its configuration: %s',
    async (path) => {
      const origin = playOrigin(() => new Response('done'))
      const send = clientOf(gatewayWith().app, path)
      // A request that has not come through Cloudflare does not hide it from the next one.
      expect((await send('development', { env: local })).status).toBe(200)
      const answer = await send('deployed', { env: local, headers: RAY })
      expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([
        500,
        'gateway-misconfigured',
      ])
      expect((await answer.json<ProblemBody>()).detail).toMatch(/localhost.*ORIGIN_URL/)
      expect(origin.requests).toHaveLength(1)
    },
  )

  it('is none where the origin is bound', async () => {
    const ORIGIN = { fetch: async () => new Response('bound') }
    const send = clientOf(gatewayWith().app, '/passed')
    expect((await send('', { env: { ...local, ORIGIN }, headers: RAY })).status).toBe(200)
  })
})

describe('the resource of an operation and the admin API', () => {
  const id = 'x'.repeat(43)
  const HAPAX_ADMIN_TOKEN = 'token'

  it.each([
    { path: `/_hapax/operations/${id}`, vars: { OPERATIONS: undefined }, names: /OPERATIONS/ },
    {
      path: `/_hapax/admin/operations/${id}`,
      vars: { OPERATIONS: undefined },
      names: /OPERATIONS/,
    },
    { path: '/_hapax/admin/stuck', vars: { DIRECTORY: undefined }, names: /DIRECTORY/ },
    { path: '/_hapax/admin/dead-letters', vars: { DIRECTORY: service }, names: /DIRECTORY/ },
  ])('say what is missing, and not to ask again: $path', async ({ path, vars, names }) => {
    const answer = await clientOf(gatewayWith().app, path)('', {
      method: 'GET',
      headers: { Authorization: 'Bearer token' },
      env: { ...vars, HAPAX_ADMIN_TOKEN },
      isKeyless: true,
    })
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([500, null])
    expect((await answer.json<ProblemBody>()).detail).toMatch(names)
  })

  it('change nothing without the objects', async () => {
    const path = `/_hapax/admin/operations/${id}/release`
    const answer = await clientOf(gatewayWith().app, path)('', {
      body: '{}',
      headers: { Authorization: 'Bearer token' },
      env: { OPERATIONS: undefined, HAPAX_ADMIN_TOKEN },
    })
    expect([answer.status, await answer.text()]).toEqual([500, expect.stringMatching(/OPERATIONS/)])
  })
})

it.each(['OPERATIONS', 'DIRECTORY', 'METRICS'])(
  'a batch of messages waits for an hour where %s is missing',
  async (name) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const handler = vi.fn()
    const consumer = consume({ paid: handler }, { tenant: attribute('tenant') })
    const body = { type: 'paid', tenant: 'acme' }
    const batch = createMessageBatch('orders', [
      { id: 'a', timestamp: new Date(), attempts: 4, body },
      { id: 'b', timestamp: new Date(), attempts: 1, body },
    ])
    const retryAll = vi.spyOn(batch, 'retryAll')
    const ctx = createExecutionContext()
    await consumer(batch, { ...env, [name]: undefined }, ctx)
    const { explicitAcks } = await getQueueResult(batch, ctx)
    expect([handler.mock.calls, explicitAcks]).toEqual([[], []])
    expect(retryAll.mock.calls).toEqual([[{ delaySeconds: 3_600 }]])
    expect(log.mock.calls.join()).toMatch(new RegExp(`the queue orders .*${name}`))
  },
)

describe('a request that is passed on', () => {
  const lost = () => Promise.reject(new Error('MARKED connection'))
  const headers = { Origin: 'https://app.test', 'X-Correlation-Id': 'of-the-request' }

  it.each([
    { method: 'GET', slug: 'origin-unreachable', retryable: true, retry: 'same-key' },
    { method: 'HEAD', slug: 'origin-unreachable' },
    { method: 'POST', slug: 'outcome-unknown', retryable: false, retry: 'never' },
    { method: 'DELETE', slug: 'outcome-unknown', retryable: false, retry: 'never' },
  ])('and gets no answer is a 502 problem: $method', async ({ method, slug, ...expected }) => {
    playOrigin(lost)
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const app = createGateway({
      tenant: credential('Authorization'),
      cors: cors({ origin: 'https://app.test' }),
    })
    const answer = await askerOf(app)('/passed', { method, headers })
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([502, slug])
    expect(answer.headers.get('X-Correlation-Id')).toBe('of-the-request')
    expect(answer.headers.get('Access-Control-Expose-Headers')).toContain('Hapax-Error')
    const text = await answer.text()
    expect(JSON.parse(text || '{}')).toMatchObject(expected)
    expect(log.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      {
        message: 'the origin did not answer a request',
        reason: 'Error',
        correlationId: 'of-the-request',
      },
    ])
  })

  it('is a 502 also where a bound origin throws', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const vars = { ORIGIN: { fetch: lost } }
    expect((await clientOf(gatewayWith().app, '/passed')('', { env: vars })).status).toBe(502)
  })

  it.each([
    { what: 'is no URL', vars: { ORIGIN_URL: 'api.test' }, names: /ORIGIN_URL/ },
    { what: 'is no service', vars: { ORIGIN: 'api' }, names: /ORIGIN must be a service/ },
  ])('to an origin that $what is 500 gateway-misconfigured', async ({ vars, names }) => {
    const answer = await clientOf(gatewayWith().app, '/passed')('', { env: vars })
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([
      500,
      'gateway-misconfigured',
    ])
    expect((await answer.json<ProblemBody>()).detail).toMatch(names)
  })

  it('is a 404 without any origin', async () => {
    const answer = await clientOf(gatewayWith().app, '/passed')('', { env: { ORIGIN_URL: '' } })
    expect([answer.status, await answer.text()]).toEqual([404, 'Not found'])
  })
})
