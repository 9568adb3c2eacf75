import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { brotliCompressSync, gzipSync } from 'node:zlib'

import { describe, expect, it } from 'vitest'

import type { Reply } from '../client.ts'
import { statusOf, useConformance } from '../harness.ts'
import { answer, answerInChunks, hasNoBody } from '../origin.ts'

const conformance = useConformance()
const MIB = 1024 * 1024
const text = JSON.stringify({ text: 'replay '.repeat(100) })

interface Case {
  readonly name: string
  readonly status: number
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string | Uint8Array
}

const CASES: readonly Case[] = [
  { name: 'every byte', status: 200, body: Uint8Array.from({ length: 256 }, (_, at) => at) },
  { name: 'an empty body', status: 200, body: '' },
  { name: '201 with a Location', status: 201, headers: { Location: '/payments/7' }, body: '{}' },
  { name: '202', status: 202, body: 'queued' },
  { name: '204', status: 204 },
  { name: '205', status: 205 },
  { name: '304 with an ETag', status: 304, headers: { ETag: '"v1"' } },
  {
    name: 'an ETag and Last-Modified',
    status: 200,
    headers: { ETag: 'W/"v2"', 'Last-Modified': 'Wed, 01 Oct 2025 00:00:00 GMT' },
    body: 'x',
  },
  {
    name: 'a redirect, not followed',
    status: 302,
    headers: { Location: 'http://elsewhere.invalid/next' },
    body: 'moved',
  },
  { name: 'a 303', status: 303, headers: { Location: '/default/other?x=1#f' } },
  { name: 'a 301', status: 301, headers: { Location: 'relative' } },
  {
    name: 'a refusal',
    status: 422,
    headers: { 'Content-Type': 'application/problem+json' },
    body: '{"type":"about:blank"}',
  },
  {
    name: 'a challenge',
    status: 402,
    headers: { 'WWW-Authenticate': ['Basic realm="a"', 'Bearer'] },
    body: '',
  },
  {
    name: 'gzip',
    status: 200,
    headers: {
      'Content-Encoding': 'gzip',
      'Content-Type': 'application/json',
      Vary: 'Accept-Encoding',
    },
    body: gzipSync(text),
  },
  {
    name: 'Brotli',
    status: 200,
    headers: { 'Content-Encoding': 'br', 'Content-Type': 'application/json' },
    body: brotliCompressSync(text),
  },
  { name: 'no media type', status: 200, body: 'x' },
  {
    name: 'a media type with parameters',
    status: 200,
    headers: { 'Content-Type': 'text/plain; charset=ISO-8859-1' },
    body: Buffer.from([0xe9]),
  },
  {
    name: 'repeated fields',
    status: 200,
    headers: { 'X-Many': ['1', '2, 3'], Link: ['</a>; rel=next', '</b>; rel=prev'] },
    body: 'x',
  },
  { name: 'a body of 1 MiB', status: 200, body: Buffer.alloc(MIB, 'abc') },
  { name: 'a body of 1 MiB and 1 byte', status: 200, body: Buffer.alloc(MIB + 1, 'abcd') },
  {
    name: 'a body of 2.5 MiB, which is several rows',
    status: 200,
    headers: { 'Content-Type': 'application/octet-stream' },
    body: Buffer.alloc(2.5 * MIB, 'abcdefg'),
  },
]

const FRAMING = new Set(['date', 'connection', 'keep-alive', 'content-length', 'transfer-encoding'])

/** What the origin said end to end, as a client gets it, however the body is framed. */
function essence(reply: Reply) {
  const fields = Object.entries(reply.headers).filter(([name]) => !FRAMING.has(name))
  const headers: IncomingHttpHeaders = Object.fromEntries(fields)
  return { status: reply.status, headers, body: reply.body.toString('base64') }
}

describe.concurrent('a replay', () => {
  it.each(
    CASES.flatMap((its) => [
      { ...its, framing: 'with a length', framed: answer },
      { ...its, framing: 'in chunks', framed: answerInChunks },
    ]),
  )(
    'is what the first client got, and that is what the origin sent: $name, $framing',
    async ({ framed, ...its }) => {
      const one = conformance.operation('default')
      const body = Buffer.from(its.body ?? '')
      one.on(framed(its.status, its.headers, body))
      // Asked for no other coding, since `wrangler dev` itself would compress for who accepts one.
      const accept = { 'Accept-Encoding': its.headers?.['Content-Encoding'] ?? 'identity' }
      const first = await one.send({ headers: accept })
      expect(first.status).toBe(its.status)
      expect(first.body.equals(body)).toBe(true)
      for (const [name, value] of Object.entries(its.headers ?? {})) {
        // Fields of one name may be joined: RFC 9110 §5.3.
        expect(first.all(name).join(', ')).toBe([value].flat().join(', '))
      }

      const second = await one.send({ headers: accept })
      const {
        'x-correlation-id': _,
        'idempotency-status': word,
        ...headers
      } = essence(first).headers
      expect(word).toBe('executed')
      expect(essence(second)).toEqual({
        ...essence(first),
        headers: {
          ...headers,
          'x-correlation-id': expect.any(String),
          'idempotency-status': 'replayed',
          'idempotent-replayed': 'true',
          'cache-control': 'no-store',
          age: expect.stringMatching(/^\d+$/),
          'idempotency-expires': expect.stringMatching(/^\d+$/),
        },
      })
      const length = hasNoBody(its.status) ? undefined : String(body.length)
      expect(second.headers['content-length']).toBe(length)
      expect(one.calls()).toHaveLength(1)
    },
  )

  it('does not have an empty media type where the origin sent none', async () => {
    const one = conformance.operation('default')
    one.on(answer(200, {}, 'x'))
    const replies = [await one.send(), await one.send()]
    for (const { headers } of replies) expect(headers).not.toHaveProperty('content-type')
  })

  it('has no Set-Cookie, though the first client got each on its own', async () => {
    const one = conformance.operation('default')
    const cookies = ['a=1; Path=/; Expires=Wed, 01 Oct 2030 00:00:00 GMT', 'b=2; HttpOnly']
    one.on(answer(200, { 'Set-Cookie': cookies }, 'x'))
    expect((await one.send()).all('Set-Cookie')).toEqual(cookies)
    const second = await one.send()
    expect([statusOf(second), second.all('Set-Cookie')]).toEqual(['replayed', []])
  })

  it('has each Set-Cookie on its own where the route asks for it', async () => {
    const one = conformance.operation('keep-cookies')
    const cookies = ['a=1; Path=/; Expires=Wed, 01 Oct 2030 00:00:00 GMT', 'b=2; HttpOnly']
    one.on(answer(200, { 'Set-Cookie': cookies }, 'x'))
    await one.send()
    const second = await one.send()
    expect([statusOf(second), second.all('Set-Cookie')]).toEqual(['replayed', cookies])
  })

  it('leaves out what the route omits, which the first client gets', async () => {
    const one = conformance.operation('omit-headers')
    one.on(answer(200, { 'X-Secret': 's', ETag: '"e"', 'X-Public': 'p' }, 'x'))
    expect((await one.send()).headers).toMatchObject({ 'x-secret': 's', etag: '"e"' })
    const { headers } = await one.send()
    expect(headers).toMatchObject({ 'idempotency-status': 'replayed', 'x-public': 'p' })
    expect(headers).not.toHaveProperty('x-secret')
    expect(headers).not.toHaveProperty('etag')
  })

  it.each([
    { name: 'Date', value: 'Wed, 01 Oct 2025 00:00:00 GMT' },
    { name: 'RateLimit', value: '"default";r=50;t=30' },
    { name: 'RateLimit-Policy', value: '"default";q=100;w=60' },
    { name: 'RateLimit-Limit', value: '100' },
    { name: 'RateLimit-Remaining', value: '99' },
    { name: 'RateLimit-Reset', value: '30' },
    { name: 'X-RateLimit-Limit', value: '100' },
    { name: 'X-RateLimit-Remaining', value: '99' },
    { name: 'X-Rate-Limit-Reset', value: '30' },
  ])('does not repeat $name of the first delivery', async ({ name, value }) => {
    const one = conformance.operation('default')
    one.on(answer(200, { [name]: value, 'X-Kept': 'yes' }, 'x'))
    expect((await one.send()).all(name)).toEqual([value])
    const second = await one.send()
    expect(second.headers).toMatchObject({ 'x-kept': 'yes', 'idempotency-status': 'replayed' })
    expect(second.all(name)).not.toContain(value)
  })

  it('has an Age of its own, not the one that the origin sent', async () => {
    const one = conformance.operation('default')
    one.on(answer(200, { Age: '777' }, 'x'))
    expect((await one.send()).headers['age']).toBe('777')
    expect((await one.send()).all('Age')).toEqual(['0'])
  })

  it.each([
    { name: 'none', stored: {}, expected: 'no-store' },
    {
      name: 'public',
      stored: { 'Cache-Control': 'public, max-age=60' },
      expected: 'no-store',
    },
    {
      name: 'private',
      stored: { 'Cache-Control': 'private, max-age=60' },
      expected: 'private',
    },
    { name: 'no-store', stored: { 'Cache-Control': 'no-store' }, expected: 'no-store' },
  ])('is not for shared caches where the origin said $name', async ({ stored, expected }) => {
    const one = conformance.operation('default')
    one.on(answer(200, stored, 'x'))
    const first = await one.send()
    expect(first.headers['cache-control']).toBe((stored as Record<string, string>)['Cache-Control'])
    expect((await one.send()).headers['cache-control']).toBe(expected)
  })

  it.each([
    { name: 'the same Origin', origin: 'https://one.example', hasCors: true },
    { name: 'another Origin', origin: 'https://two.example', hasCors: false },
    { name: 'no Origin', origin: undefined, hasCors: false },
  ])('to $name has CORS headers: $hasCors', async ({ origin, hasCors }) => {
    const one = conformance.operation('default')
    const cors = {
      'Access-Control-Allow-Origin': 'https://one.example',
      'Access-Control-Allow-Credentials': 'true',
      'Access-Control-Expose-Headers': 'X-Total',
    }
    one.on(answer(200, { ...cors, Vary: 'Origin' }, 'x'))
    await one.send({ headers: { Origin: 'https://one.example' } })
    const second = await one.send(origin === undefined ? {} : { headers: { Origin: origin } })
    expect(second.headers).toMatchObject({ vary: 'Origin', 'idempotency-status': 'replayed' })
    const names = Object.keys(cors).map((name) => name.toLowerCase())
    expect(names.filter((name) => name in second.headers)).toEqual(hasCors ? names : [])
  })

  it('has no hop-by-hop field, nor one that Connection names', async () => {
    const one = conformance.operation('default')
    one.on(
      answer(
        200,
        { Connection: 'close, X-Hop', 'X-Hop': '1', 'Proxy-Authenticate': 'Basic', Trailer: 'X-T' },
        'x',
      ),
    )
    const replies = [await one.send(), await one.send()]
    for (const { headers } of replies) {
      expect(headers).not.toHaveProperty('proxy-authenticate')
      expect(headers).not.toHaveProperty('trailer')
      expect(headers).not.toHaveProperty('x-hop')
    }
  })
})
