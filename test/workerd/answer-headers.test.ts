import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** A client of a route that goes to the origin. */
function clientWith(policy: PolicyOptions = {}) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/answers', protect(policy))
  return clientOf(app, '/answers', { isWaiting: false })
}

const ASKING = { 'Retry-After': '3', 'retry-after-ms': '3000' }

const asksForRetry = ({ headers }: Response) =>
  Object.keys(ASKING).filter((name) => headers.has(name))

describe('what an answer asks for', () => {
  it('goes to the client that it was made for, and not with the stored answer', async () => {
    playOrigin(() => Response.json({}, { status: 404, headers: ASKING }))
    const send = clientWith()
    const [first, again] = [await send('asks'), await send('asks')]
    expect([word(first), word(again)]).toEqual(['executed', 'replayed'])
    expect([asksForRetry(first), asksForRetry(again)]).toEqual([Object.keys(ASKING), []])
  })

  it.each([
    { status: 429, expected: Object.keys(ASKING) },
    { status: 404, expected: [] },
  ])('goes to who has waited along only where $status is not the end', async (given) => {
    const { status, expected } = given
    const origin = playSlowOrigin(() => Response.json({}, { status, headers: ASKING }))
    const send = clientWith()
    const first = send(`joins-${status}`)
    await origin.asked()
    const second = send(`joins-${status}`)
    origin.release()
    await first
    expect([word(await second), asksForRetry(await second)]).toEqual(['joined', expected])
  })
})

describe('what only the gateway says', () => {
  const SAID = {
    'Idempotency-Key': 'of-the-origin',
    Idempotency_Key: 'of-the-origin',
    'Idempotency-Attempt': '7',
    'Idempotency-Expires': '7',
  }
  const said = ({ headers }: Response) =>
    Object.values(SAID).filter((value) => [...headers.values()].includes(value))

  it('is not believed of the origin, with a key or without', async () => {
    playOrigin(() => Response.json({}, { status: 201, headers: SAID }))
    const send = clientWith({ required: false })
    const answers = [await send('echo'), await send('echo'), await send('', WITHOUT_KEY)]
    expect(answers.map(word)).toEqual(['executed', 'replayed', 'unprotected'])
    expect(answers.flatMap(said)).toEqual([])
  })

  it('is not believed of a handler, with a key or without', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/handled', idempotent({ required: false }), (c) => c.json({}, 201, SAID))
    const send = clientOf(app, '/handled')
    const answers = [await send('told'), await send('told'), await send('', WITHOUT_KEY)]
    expect(answers.map(word)).toEqual(['executed', 'replayed', 'unprotected'])
    expect(answers.flatMap(said)).toEqual([])
  })
})

describe('Idempotency-Expires', () => {
  const expires = ({ headers }: Response) => headers.get('Idempotency-Expires')

  it.each([
    { said: {}, retention: '2h', expected: '7200', later: '7191' },
    { said: {}, retention: '10500ms', expected: '11', later: '1' },
    { said: { 'Idempotency-Store': 'max-age=60' }, retention: '2h', expected: '60', later: '51' },
    { said: { 'Idempotency-Store': 'max-age=10' }, retention: '2h', expected: '10', later: '1' },
  ] as const)(
    'says $expected, and $later 9.5 s later, where $retention and $said rule',
    async (given) => {
      const { said, retention, expected, later } = given
      const origin = playOrigin(() => Response.json({}, { status: 201, headers: said }))
      const send = clientWith({ retention, operation: crypto.randomUUID() })
      const key = crypto.randomUUID()
      expect(expires(await send(key))).toBe(expected)
      vi.useFakeTimers({ now: Date.now() + 9_500, toFake: ['Date'] })
      const again = await send(key)
      vi.useRealTimers()
      expect([word(again), origin.requests.length]).toEqual(['replayed', 1])
      expect(Number(expires(again))).toBe(Number(later))
    },
  )

  it('comes with a joined answer, also while it streams, and with one that was not kept', async () => {
    const origin = playSlowOrigin(() => new Response('x'.repeat(20)))
    const send = clientWith({ retention: '1h', limits: { response: 10 } })
    const first = send('unkept')
    await origin.asked()
    const second = send('unkept')
    origin.release()
    const streamed = [await first, await second]
    await Promise.allSettled(streamed.map((answer) => answer.text()))
    const answers = [...streamed, await send('unkept')]
    expect(answers.map(word)).toEqual(['executed', 'joined', 'too-large'])
    expect(answers.map(expires).map((text) => Math.ceil(Number(text) / 60))).toEqual([60, 60, 60])
  })

  it('comes with what a handler answers', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/handled', idempotent({ retention: '1h' }), (c) => c.json({}, 201))
    app.post('/streamed', idempotent({ retention: '1h' }), (c) =>
      c.body('data: x\n\n', 200, { 'Content-Type': 'text/event-stream' }),
    )
    for (const path of ['/handled', '/streamed']) {
      const send = clientOf(app, path)
      expect([expires(await send(path)), word(await send(path))]).toEqual(['3600', 'replayed'])
    }
  })

  it.each([
    { name: 'nothing was executed', status: 503 },
    { name: 'the outcome is unknown', status: 500 },
  ])('does not come where $name', async ({ status }) => {
    playOrigin(() => new Response('x', { status }))
    const send = clientWith()
    const answers = [await send(`none-${status}`), await send(`none-${status}`)]
    expect(answers.map(expires)).toEqual([null, null])
  })
})

describe('a result that is not kept', () => {
  it('says that the origin asked for that, to who joins and to who repeats', async () => {
    const headers = { 'Idempotency-Store': 'no-store' }
    const origin = playSlowOrigin(() => new Response('secret', { status: 201, headers }))
    const send = clientWith()
    const first = send('no-store')
    await origin.asked()
    const second = send('no-store')
    origin.release()
    await first
    const answers = [await second, await send('no-store')]
    expect(answers.map(word)).toEqual(['not-kept', 'not-kept'])
    const problems = await Promise.all(answers.map((answer) => answer.json<{ detail: string }>()))
    expect(answers.map(({ status }) => status)).toEqual([409, 409])
    for (const { detail } of problems) expect(detail).toContain('asked not to keep')
    expect(origin.requests).toHaveLength(1)
  })

  it('says the same where snapshots are sealed', async () => {
    playOrigin(() => new Response('secret', { headers: { 'Idempotency-Store': 'no-store' } }))
    const send = clientWith({ snapshot: { seal: true } })
    const options = { env: { HAPAX_SEAL_KEY: 's'.repeat(32) } }
    expect(word(await send('sealed-no-store', options))).toBe('executed')
    expect(word(await send('sealed-no-store', options))).toBe('not-kept')
  })
})

describe('what the gateway obeys of Prefer', () => {
  it.each([
    { name: 'with a key', options: {}, expected: 'return=minimal, handling=lenient' },
    {
      name: 'without a key, where it obeys nothing',
      options: { isKeyless: true },
      expected: 'return=minimal, wait=5, handling=lenient, respond-async',
    },
  ])('does not go on to the origin $name', async ({ options, expected }) => {
    const { requests } = playOrigin(() => new Response('done'))
    const send = clientWith({ required: false })
    const headers = { Prefer: 'return=minimal, wait=5, handling=lenient, respond-async' }
    await send(crypto.randomUUID(), { headers, ...options })
    expect(requests.map((request) => request.headers.get('Prefer'))).toEqual([expected])
  })
})

describe('a slash at the end of the path', () => {
  it('makes no other request of it', async () => {
    const { requests } = playOrigin(() => new Response('done', { status: 201 }))
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/r', protect())
    const key = crypto.randomUUID()
    const words = [
      word(await clientOf(app, '/r')(key)),
      word(await clientOf(app, '/r/')(key)),
      word(await clientOf(app, '/r//')(key)),
    ]
    expect(words).toEqual(['executed', 'replayed', 'replayed'])
    expect(requests).toHaveLength(1)
  })

  it('lets a client follow the redirect of an origin with the same key', async () => {
    const { requests } = playOrigin(({ url }) =>
      url.endsWith('/')
        ? new Response('done', { status: 201 })
        : new Response(null, { status: 308, headers: { Location: '/r/' } }),
    )
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/r', protect({ outcomes: { '308': 'not_executed' } }))
    const key = crypto.randomUUID()
    const redirect = await clientOf(app, '/r')(key)
    expect([redirect.status, redirect.headers.get('Location')]).toEqual([308, '/r/'])
    expect(word(await clientOf(app, '/r/')(key))).toBe('executed')
    expect(word(await clientOf(app, '/r')(key))).toBe('replayed')
    expect(requests).toHaveLength(2)
  })
})

/** A request without its key. */
const WITHOUT_KEY = { isKeyless: true } as const
