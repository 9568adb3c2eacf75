import { createExecutionContext, createMessageBatch, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import {
  attribute,
  consume,
  createGateway,
  createWorker,
  credential,
  type GatewayEnv,
  protect,
} from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'
import { idOf } from './client.ts'
import { clientOf } from './gateway.ts'
import { playOrigin } from './origin.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
})
afterEach(() => vi.restoreAllMocks())

type App = Hono<GatewayEnv>

const VARS = { HAPAX_ADMIN_TOKEN: 'operator', HAPAX_METRICS_TOKEN: 'prometheus' }

interface Asked {
  readonly method?: string
  readonly body?: string
  readonly token?: string
}

async function ask(app: App, path: string, asked: Asked = {}): Promise<Response> {
  const { token = 'operator', ...init } = asked
  const ctx = createExecutionContext()
  const headers = { Authorization: `Bearer ${token}` }
  const request = new Request(`https://gateway.test${path}`, { ...init, headers })
  const response = await app.fetch(request, { ...env, ...VARS }, ctx)
  await waitOnExecutionContext(ctx)
  return response
}

const read = async (response: Response) => [response.status, await response.text()]
const gateway = () => createGateway({ tenant: credential('Authorization') })
const mount = (app: App) => app.route('/_hapax', operators(app))

const INNER = new Hono<GatewayEnv>().all('*', (c) => c.text('inner'))

const CATCH_ALLS = [
  { of: 'no catch-all', add: (app: App) => app },
  { of: 'a route', add: (app: App) => app.all('*', (c) => c.text('route')) },
  { of: 'a protected route', add: (app: App) => app.all('/*', protect({ required: false })) },
  { of: 'a middleware', add: (app: App) => app.use('*', async (c) => c.text('middleware')) },
  { of: 'an app inside the app', add: (app: App) => app.route('/', INNER) },
]

const UNKNOWN = ['', '/', '/unheard-of', '/metrics/x', '/dashboard/assets', '/openapi.json/x']
const THEIRS = ['/admin/stuck', '/metrics', '/dashboard', '/dashboard/assets/a', '/openapi.json']

describe.each(CATCH_ALLS)('a gateway with $of', ({ add }) => {
  it('answers every path below /_hapax itself, without operators', async () => {
    const origin = playOrigin(() => new Response('the origin'))
    const app = gateway()
    add(app)
    for (const path of [...UNKNOWN, ...THEIRS]) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const answer = await read(await ask(app, `/_hapax${path}`, { method }))
        expect({ path, method, answer }).toEqual({ path, method, answer: [404, 'Not found'] })
      }
    }
    expect((await ask(app, '/_hapax/problems/key-reused')).status).toBe(200)
    expect(origin.requests).toEqual([])
  })

  it('gives operators their paths and nobody the rest, with operators', async () => {
    const origin = playOrigin(() => new Response('the origin'))
    const app = mount(gateway())
    add(app)
    expect((await ask(app, '/_hapax/admin/stuck')).status).toBe(200)
    expect((await ask(app, '/_hapax/admin/unheard-of')).status).toBe(404)
    expect((await ask(app, '/_hapax/metrics')).status).toBe(401)
    expect((await ask(app, '/_hapax/openapi.json')).status).toBe(200)
    for (const path of UNKNOWN) {
      expect(await read(await ask(app, `/_hapax${path}`))).toEqual([404, 'Not found'])
    }
    expect(await read(await ask(app, '/_hapax/metrics', { method: 'POST' }))).toEqual([
      404,
      'Not found',
    ])
    expect(origin.requests).toEqual([])
  })

  it('gives nobody a path of operators that are mounted behind', async () => {
    const app = gateway()
    add(app)
    mount(app)
    const isFirst = add === CATCH_ALLS[0]?.add
    const { status } = await ask(app, '/_hapax/admin/stuck')
    expect(status).toBe(isFirst ? 200 : 404)
  })
})

it('lets no script of another origin read what is for operators', async () => {
  const cors = vi.fn((_: unknown, next: () => Promise<void>) => next())
  const app = mount(createGateway({ tenant: credential('Authorization'), cors }))
  for (const path of [...UNKNOWN, ...THEIRS]) await ask(app, `/_hapax${path}`)
  expect(cors).not.toHaveBeenCalled()
})

describe('a Worker of operators alone', () => {
  const app = gateway()
  app.post('/held', protect())
  const alone = new Hono<GatewayEnv>().route('/_hapax', operators(app))

  it('serves the operations of the gateway, whose objects it shares', async () => {
    playOrigin(() => Promise.reject(new Error('connection lost')))
    await clientOf(app, '/held')('alone')
    const id = await idOf('alone')
    const seen: { readonly tenant: string } = await (
      await ask(alone, `/_hapax/admin/operations/${id}`)
    ).json()
    expect(seen).toMatchObject({ id, state: 'unknown', operation: 'POST /held' })
    const body = JSON.stringify({ tenant: seen.tenant, key: 'alone' })
    const found = await ask(alone, '/_hapax/admin/operations/lookup', { method: 'POST', body })
    expect(await found.json()).toMatchObject({ id })
    const resolved = await ask(alone, `/_hapax/admin/operations/${id}/resolve`, {
      method: 'POST',
      body: JSON.stringify({ outcome: 'not_executed' }),
    })
    expect(resolved.status).toBe(204)
  })

  it('serves the lists, the figures, the page and both documents', async () => {
    expect((await ask(alone, '/_hapax/admin/stuck')).status).toBe(200)
    expect((await ask(alone, '/_hapax/metrics', { token: 'prometheus' })).status).toBe(200)
    expect((await ask(alone, '/_hapax/dashboard')).status).toBe(200)
    expect(await (await ask(alone, '/_hapax/openapi.json')).json()).toHaveProperty('paths./held')
    expect((await ask(alone, '/_hapax/admin/openapi.json')).status).toBe(200)
    expect((await ask(alone, '/held', { method: 'POST' })).status).toBe(404)
  })

  it('replays messages where its Worker has the consumers of the gateway', async () => {
    const handler = vi.fn(async () => ({ done: true }))
    const consumerOf = (type: string) =>
      consume({ [type]: handler }, { tenant: attribute('tenant') })
    const messages = [
      {
        id: 'alone',
        timestamp: new Date(),
        attempts: 1,
        body: { specversion: '1.0', id: 'e', source: '/s', type: 'work.asked', tenant: 'a' },
      },
    ]
    const ctx = createExecutionContext()
    const before = createWorker(gateway(), { queue: consumerOf('other.type') })
    await before.queue?.(createMessageBatch('work', messages), env, ctx)
    const consuming = gateway()
    const theirs = new Hono<GatewayEnv>().route('/_hapax', operators(consuming))
    const replay = () =>
      ask(theirs, '/_hapax/admin/dead-letters/work:alone/replay', { method: 'POST' })
    expect((await replay()).status).toBe(409)
    createWorker(consuming, { queue: consumerOf('work.asked') })
    expect((await replay()).status).toBe(204)
    expect(handler).toHaveBeenCalledTimes(1)
  })
})
