import { createExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  createWorker,
  credential,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { idOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

/** A deployment with this policy for `/orders`, on the objects of those before it. */
function deploy(policy: PolicyOptions, path = '/orders') {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post(path, protect(policy))
  const worker = createWorker(app)
  return {
    send: clientOf(app, path, { isWaiting: false }),
    async read(key: string, part = '', accept = '*/*'): Promise<Response> {
      const url = `https://gateway.test/_hapax/operations/${await idOf(key)}${part}`
      const headers = { Authorization: 'Bearer tenant-a', Accept: accept }
      const request = new Request<unknown, IncomingRequestCfProperties>(url, { headers })
      const response = await worker.fetch?.(request, env, createExecutionContext())
      if (response === undefined) throw new Error('A worker of a gateway has a fetch handler.')
      return response
    },
  }
}

const secret = () => new Response('secret', { status: 201 })
const mayNotRead = (request: Request) =>
  request.method === 'GET' ? new Response('not yours', { status: 403 }) : secret()

describe('reauthorize, on a route that did not ask before', () => {
  it('is asked before a replay', async () => {
    const origin = playOrigin(mayNotRead)
    await deploy({}).send('replayed-later')
    const again = await deploy({ reauthorize: '/may-read/{id}' }).send('replayed-later')
    expect([again.status, word(again), await again.text()]).toEqual([403, 'rejected', 'not yours'])
    const id = await idOf('replayed-later')
    expect(origin.requests.map(({ url }) => new URL(url).pathname)).toContain(`/may-read/${id}`)
  })

  it('is asked before a duplicate joins', async () => {
    const origin = playSlowOrigin(mayNotRead)
    const first = deploy({}).send('joined-later')
    await origin.asked()
    const second = deploy({ reauthorize: '/may-read/{id}' }).send('joined-later')
    origin.release()
    expect([(await first).status, (await second).status]).toEqual([201, 403])
  })

  it('is asked before the result is read by its id', async () => {
    playOrigin(mayNotRead)
    await deploy({}, '/read').send('read-later')
    const read = await deploy({ reauthorize: '/may-read/{id}' }, '/read').read(
      'read-later',
      '/result',
    )
    expect([read.status, await read.text()]).toEqual([403, 'not yours'])
  })

  it('is still asked for what was stored while the route asked', async () => {
    playOrigin(mayNotRead)
    await deploy({ reauthorize: '/may-read/{id}' }).send('asked-before')
    const again = await deploy({}).send('asked-before')
    expect([again.status, word(again)]).toEqual([403, 'rejected'])
  })
})

describe('the state of an operation, by its id', () => {
  const answer = () =>
    new Response('done', { status: 201, headers: { 'X-Balance': '500', 'X-Other': 'shown' } })

  it.each<{ name: string; policy: PolicyOptions }>([
    { name: 'asks who may read it', policy: { reauthorize: '/may-read/{id}' } },
    { name: 'seals', policy: { snapshot: { seal: true } } },
  ])('shows nothing of a result that an older record has, where the route $name', async (now) => {
    playOrigin(answer)
    const path = `/state-${Object.keys(now.policy)[0]}`
    const [key, { read }] = [path.slice(1), deploy({}, path)]
    await deploy({}, path).send(key)
    expect(await (await read(key)).text()).toContain('x-balance')
    const stricter = deploy(now.policy, path)
    for (const accept of ['*/*', 'text/event-stream']) {
      const shown = await (await stricter.read(key, '', accept)).text()
      expect(shown).toContain('"state":"succeeded"')
      expect(shown).not.toMatch(/"status"|x-balance/)
    }
  })

  it('shows no header that the route does not keep by now', async () => {
    playOrigin(answer)
    await deploy({}, '/state-omit').send('state-omit')
    const { read } = deploy({ snapshot: { omit: ['X-Balance'] } }, '/state-omit')
    const { result } = await (await read('state-omit')).json<{ result: { headers: object } }>()
    expect(result.headers).toMatchObject({ 'x-other': 'shown' })
    expect(result.headers).not.toHaveProperty('x-balance')
  })
})

describe('a route that sends again, and asked before', () => {
  it('asks about what was left unknown then as the caller, from whom the origin hides nothing', async () => {
    const origin = playOrigin((request) => {
      if (request.method === 'POST') return new Response('lost', { status: 500 })
      return request.headers.has('Authorization')
        ? new Response('paid', { status: 200 })
        : new Response('not yours', { status: 404 })
    })
    await deploy({ unknown: probe('/status/{key}', { grace: 0 }) }).send('asked-then')
    const again = await deploy({ unknown: 'resend' }).send('asked-then')
    expect([again.status, word(again), await again.text()]).toEqual([200, 'replayed', 'paid'])
    expect(origin.requests.filter(({ method }) => method === 'POST')).toHaveLength(1)
  })
})

it.each([
  { name: 'cookies', header: 'Set-Cookie', before: { setCookie: true }, now: { setCookie: false } },
  { name: 'a header', header: 'X-Secret', before: {}, now: { omit: ['x-secret'] } },
])('a replay has no longer $name that the route does not keep by now', async (kept) => {
  const { header, before, now } = kept
  const headers = { [header]: 'a=1' }
  playOrigin(() => new Response('done', { status: 201, headers }))
  await deploy({ snapshot: before }).send(`kept-${header}`)
  const then = await deploy({ snapshot: before }).send(`kept-${header}`)
  const again = await deploy({ snapshot: now }).send(`kept-${header}`)
  expect([word(then), then.headers.get(header)]).toEqual(['replayed', 'a=1'])
  expect([word(again), again.headers.get(header)]).toEqual(['replayed', null])
})
