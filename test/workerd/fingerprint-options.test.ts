import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  body,
  createGateway,
  credential,
  type FingerprintFunction,
  header,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

/** Two routes of one policy, and what the origin gets. */
function gatewayWith(policy: PolicyOptions) {
  const received: string[] = []
  playOrigin(async (request) => {
    received.push(await request.text())
    return new Response('done', { status: 201 })
  })
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/compared/:id', protect(policy))
  app.post('/others/:id', protect(policy))
  const key = crypto.randomUUID()
  const send = async (path: string, sent: BodyInit, headers: Record<string, string> = {}) => {
    const answer = await clientOf(app, path)(key, { body: sent, headers })
    return { answer, word: word(answer) }
  }
  return { received, send }
}

describe('fingerprint: false', () => {
  it('compares nothing within the operation', async () => {
    const { send, received } = gatewayWith({ fingerprint: false })
    expect((await send('/compared/1', '{"a":1}')).word).toBe('executed')
    const others = [
      await send('/compared/1?x=1', '{"a":2}'),
      await send('/compared/2', 'text', { 'Content-Type': 'text/plain' }),
      await send('/compared/1', '{"a":'),
    ]
    expect(others.map((other) => other.word)).toEqual(['replayed', 'replayed', 'replayed'])
    expect(received).toHaveLength(1)
  })

  it('is a mismatch with the same key of another operation, which is told without places', async () => {
    const { send } = gatewayWith({ fingerprint: false })
    await send('/compared/1', '{}')
    const other = await send('/others/1', '{}')
    expect(other.word).toBe('mismatch')
    expect(await other.answer.json()).not.toHaveProperty('differs')
  })

  it('refuses JSON that does not parse only where the key stands in it', async () => {
    const free = gatewayWith({ fingerprint: false })
    expect((await free.send('/compared/1', '{"a":')).word).toBe('executed')
    const keyed = gatewayWith({ fingerprint: false, key: body('/key') })
    expect((await keyed.send('/compared/1', '{"key":')).answer.status).toBe(400)
  })

  it('still refuses a body over the limit', async () => {
    const { send } = gatewayWith({ fingerprint: false, limits: { request: 3 } })
    expect((await send('/compared/1', '1234')).answer.status).toBe(413)
  })
})

describe('a function as fingerprint', () => {
  it.each<{ name: string; of: FingerprintFunction }>([
    { name: 'a text', of: (c) => c.req.header('X-Order') ?? null },
    { name: 'a member of the body', of: async (c) => (await c.req.json<{ o: string }>()).o },
    {
      name: 'a member of the raw body',
      of: async (c) => (await c.req.raw.json<{ o: string }>()).o,
    },
    {
      name: 'an object',
      of: async (c) => ({ b: undefined, a: [(await c.req.json<{ o: string }>()).o] }),
    },
  ])('compares $name in place of query, headers and body', async ({ of }) => {
    const { send, received } = gatewayWith({ fingerprint: of })
    const ofOrder = (path: string, order: string, more = '') =>
      send(path, `{"o":"${order}"${more}}`, { 'X-Order': order })
    const words = [
      await ofOrder('/compared/1', 'o1'),
      await ofOrder('/compared/1?x=1', 'o1', ',"t":2'),
      await ofOrder('/compared/1', 'o2'),
      await ofOrder('/compared/2', 'o1'),
    ].map((sent) => sent.word)
    expect(words).toEqual(['executed', 'replayed', 'mismatch', 'mismatch'])
    expect(received).toEqual(['{"o":"o1"}'])
  })

  it('reads the body while the route observes, and takes it from nobody', async () => {
    const of: FingerprintFunction = async (c) => (await c.req.json<{ o: string }>()).o
    const { send, received } = gatewayWith({ mode: 'observe', fingerprint: of })
    expect((await send('/compared/1', '{"o":"o1"}')).answer.status).toBe(201)
    expect(received).toEqual(['{"o":"o1"}'])
  })

  it('does not tell places of a mismatch', async () => {
    const { send } = gatewayWith({ fingerprint: (c) => c.req.header('X-Order') ?? null })
    await send('/compared/1', '{"a":1}', { 'X-Order': 'o1' })
    const { answer } = await send('/compared/1', '{"a":2}', { 'X-Order': 'o2' })
    const problem = await answer.json()
    expect(problem).toMatchObject({ detail: expect.stringContaining('another request') as string })
    expect(problem).not.toHaveProperty('differs')
  })

  it.each<{ name: string; of: FingerprintFunction }>([
    {
      name: 'throws',
      of: () => {
        throw new Error('secret')
      },
    },
    { name: 'rejects', of: () => Promise.reject(new Error('secret')) },
    { name: 'returns nothing', of: () => undefined },
    { name: 'returns a function', of: () => () => 1 },
    { name: 'returns no number', of: () => ({ a: Number.NaN }) },
    { name: 'returns a date', of: () => [new Date(0)] },
    { name: 'returns a map', of: () => new Map() },
  ])('that $name refuses the request, and nothing of it is logged', async ({ of }) => {
    const log = vi.spyOn(console, 'error')
    const { send, received } = gatewayWith({ fingerprint: of })
    const { answer } = await send('/compared/1', '{}')
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([
      500,
      'gateway-misconfigured',
    ])
    expect((await answer.text()) + String(log.mock.calls)).not.toContain('secret')
    expect(String(log.mock.calls)).toContain('fingerprint function')
    expect(received).toEqual([])
  })
})

describe('the query of a fingerprint', () => {
  it.each([
    {
      query: { ignore: ['utm_source', 'a b'] },
      other: '?q=1&utm_source=y&a+b=3',
      expected: 'replayed',
    },
    { query: { ignore: ['utm_source', 'a b'] }, other: '?q=1', expected: 'replayed' },
    { query: { ignore: ['utm_source'] }, other: '?q=2&utm_source=x&a%20b=1', expected: 'mismatch' },
    { query: { ignore: ['utm'] }, other: '?q=1&utm_source=y&a%20b=1', expected: 'mismatch' },
    { query: { ignore: ['UTM_SOURCE'] }, other: '?q=1&utm_source=y&a%20b=1', expected: 'mismatch' },
    { query: { ignore: [] }, other: '?a%20b=1&utm_source=x&q=1', expected: 'replayed' },
    { query: false, other: '', expected: 'replayed' },
  ])('makes $other $expected with $query', async ({ query, other, expected }) => {
    const { send } = gatewayWith({ fingerprint: { query }, key: header('Idempotency-Key') })
    await send('/compared/1?q=1&utm_source=x&a%20b=1', '{}')
    expect((await send(`/compared/1${other}`, '{}')).word).toBe(expected)
  })

  it('is told without the parameters that do not count', async () => {
    const { send } = gatewayWith({ fingerprint: { query: { ignore: ['utm'] } } })
    await send('/compared/1?q=1&utm=1', '{}')
    const { answer } = await send('/compared/1?q=2&utm=2', '{}')
    expect(await answer.json()).toMatchObject({ differs: ['query'], queryPointers: ['/q'] })
  })
})

describe('an empty body', () => {
  it.each([
    { type: 'application/json' },
    { type: 'application/vnd.api+json' },
    { type: 'multipart/form-data; boundary=b' },
    { type: 'application/x-www-form-urlencoded' },
  ])('of $type is one whether it is sent or not', async ({ type }) => {
    const { send, received } = gatewayWith({})
    const headers = { 'Content-Type': type }
    const chunked = new Blob([]).stream()
    const words = [
      (await send('/compared/1', '', headers)).word,
      (await send('/compared/1', chunked, headers)).word,
      (await send('/compared/1', 'x=1', { 'Content-Type': 'text/plain' })).word,
    ]
    expect(words).toEqual(['executed', 'replayed', 'mismatch'])
    expect(received).toEqual([''])
  })
})

describe('a star in a pointer', () => {
  it('leaves out of every item what it names, and does not tell it', async () => {
    const { send } = gatewayWith({ fingerprint: { ignore: ['/items/*/at'] } })
    await send('/compared/1', '{"items":[{"at":1,"x":1},{"at":2}]}')
    const same = await send('/compared/1', '{"items":[{"x":1,"at":3},{}]}')
    expect(same.word).toBe('replayed')
    const other = await send('/compared/1', '{"items":[{"at":5,"x":2},{"at":6}]}')
    expect(await other.answer.json()).toMatchObject({ pointers: ['/items/0/x'] })
  })
})
