import { gzipSync } from 'node:zlib'

import { describe, expect, it } from 'vitest'

import { sendRaw } from '../client.ts'
import { statusOf, useConformance } from '../harness.ts'
import { answer, hangUp } from '../origin.ts'

const conformance = useConformance()
const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/
/** Of 32 bytes in base64url. */
const DERIVED = /^[\w-]{43}$/

describe.concurrent('the origin gets', () => {
  it.each([
    { name: 'every byte', body: Uint8Array.from({ length: 256 }, (_, at) => at) },
    { name: 'nothing', body: '' },
    { name: '1 MiB', body: Buffer.alloc(1024 * 1024, 'abc') },
  ])('the bytes of the body as they came: $name', async ({ body }) => {
    const one = conformance.operation('default')
    await one.send({ body, headers: { 'Content-Type': 'application/octet-stream' } })
    expect(one.calls()[0]?.body.equals(Buffer.from(body))).toBe(true)
  })

  it('a compressed body as it came', async () => {
    const one = conformance.operation('default')
    const body = gzipSync('{"amount":5}')
    await one.send({ body, headers: { 'Content-Encoding': 'gzip' } })
    const [call] = one.calls()
    expect(call?.headers['content-encoding']).toBe('gzip')
    expect(call?.body.equals(body)).toBe(true)
  })

  it('JSON as it was spelt, not as it is compared', async () => {
    const one = conformance.operation('default')
    const body = ' {"b" : 1.0,\n"a":9007199254740993} '
    await one.send({ body })
    expect(one.calls()[0]?.body.toString()).toBe(body)
  })

  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'GET', 'HEAD'])('the method: %s', async (method) => {
    const one = conformance.operation('default')
    const [first, second] = [await one.send({ method }), await one.send({ method })]
    expect([first, second].map(statusOf)).toEqual(['executed', 'replayed'])
    expect(one.calls().map((call) => call.method)).toEqual([method])
  })

  it.each([
    { name: 'escapes', tail: '/a%2Fb%20c/%E2%82%AC?x=%20+&y=%C3%A9' },
    { name: 'an empty query', tail: '/x?' },
    { name: 'punctuation', tail: '/a;b=c,d@e:f!$&()*~?q=a:b@c/d?e;f,g!$()*' },
    { name: 'a path in a path', tail: '/https://other.example//x' },
  ])('path and query as they came: $name', async ({ tail }) => {
    const one = conformance.operation('default')
    const path = one.path + tail
    await one.send({ path })
    const { pathname } = new URL(path, 'http://origin')
    expect(conformance.origin.callsTo(pathname).map((call) => call.path)).toEqual([path])
  })

  it('every end-to-end field, and a Host of its own', async () => {
    const one = conformance.operation('default')
    const fields = {
      accept: 'application/json',
      'accept-language': 'de, en;q=0.5',
      authorization: 'Bearer carol',
      'content-type': 'application/json; charset=utf-8',
      cookie: 'a=1; b=2',
      'user-agent': 'conformance/1',
      origin: 'https://shop.example',
      prefer: 'return=minimal',
      tracestate: 'vendor=value',
      'x-custom': 'kept',
    }
    await one.send({ headers: fields })
    expect(one.calls()[0]?.headers).toMatchObject({
      ...fields,
      host: new URL(conformance.origin.url).host,
      'content-length': '12',
    })
  })

  it('a field that came twice with both of its values', async () => {
    const one = conformance.operation('default')
    await one.send({ headers: { 'X-Many': ['1', '2'] } })
    expect(one.calls()[0]?.headers['x-many']).toBe('1, 2')
  })

  it('no hop-by-hop field', async () => {
    const one = conformance.operation('default')
    await sendRaw(conformance.gateway.url, [
      `POST ${one.path} HTTP/1.1`,
      'Authorization: Bearer alice',
      `Idempotency-Key: ${one.key}`,
      'Keep-Alive: timeout=5',
      'Proxy-Authorization: Basic eA==',
      'Proxy-Connection: keep-alive',
      'TE: trailers',
      'Trailer: X-T',
      'X-Kept: yes',
    ])
    const headers = one.calls()[0]?.headers
    expect(headers).toMatchObject({ 'x-kept': 'yes' })
    for (const name of ['keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer']) {
      expect(headers).not.toHaveProperty(name)
    }
  })

  it('no gateway field that came in from outside', async () => {
    const one = conformance.operation('default')
    await one.send({
      headers: {
        'Hapax-Error': 'x',
        'Hapax-Anything': 'x',
        'Idempotency-Attempt': '7',
        'Idempotency-Outcome': 'executed',
        'Idempotency-Result-Status': '201',
        'Idempotency-Status': 'executed',
        'Idempotency-Store': 'no-store',
        'Idempotent-Replayed': 'true',
        'Stripe-Should-Retry': 'true',
        'X-Kept': 'yes',
        'X-Should-Retry': 'true',
      },
    })
    const headers = one.calls()[0]?.headers ?? {}
    expect(headers).toMatchObject({ 'x-kept': 'yes', 'idempotency-attempt': '1' })
    const gateways = Object.keys(headers).filter((name) =>
      /^hapax|^idempoten|should-retry$/.test(name),
    )
    expect(gateways.toSorted()).toEqual(['idempotency-attempt', 'idempotency-key'])
  })

  it('no gateway field from outside on a request without a key', async () => {
    const one = conformance.operation('optional')
    await one.send({
      key: null,
      headers: {
        'Idempotency-Attempt': '7',
        'Idempotency-Status': 'x',
        'Hapax-Error': 'x',
        'Stripe-Should-Retry': 'true',
        'X-Should-Retry': 'true',
      },
    })
    const names = Object.keys(one.calls()[0]?.headers ?? {})
    expect(names.filter((name) => /^hapax|^idempoten|should-retry$/.test(name))).toEqual([])
  })

  it.each([
    { name: 'with a key', route: 'default', over: {} },
    { name: 'without a key', route: 'optional', over: { key: null } },
  ])('the deadline of the client, $name', async ({ route, over }) => {
    const one = conformance.operation(route)
    const deadline = new Date(Date.now() + 60_000).toISOString()
    await one.send({ ...over, headers: { 'X-Request-Deadline': deadline } })
    expect(one.calls()[0]?.all('X-Request-Deadline')).toEqual([deadline])
  })
})

describe.concurrent('the key at the origin', () => {
  it('is derived by default: not the client’s, and the same for every attempt', async () => {
    const one = conformance.operation('resend')
    one.on(hangUp)
    await one.send()
    await one.send()
    one.on(answer(201))
    await one.send()
    const keys = one.calls().map(({ headers }) => headers['idempotency-key'])
    expect(keys).toEqual(Array(3).fill(expect.stringMatching(DERIVED)))
    expect(new Set(keys).size).toBe(1)
    expect(JSON.stringify(one.calls().map(({ headers }) => headers))).not.toContain(one.key)
  })

  it('is the same after nothing was executed', async () => {
    const one = conformance.operation('default')
    one.on(answer(503))
    await one.send()
    await one.send()
    const keys = one.calls().map(({ headers }) => headers['idempotency-key'])
    expect(keys).toEqual([expect.stringMatching(DERIVED), keys[0]])
  })

  it('is another one for another operation', async () => {
    const one = conformance.operation('default')
    await one.send({ key: 'one' })
    await one.send({ key: 'two' })
    const keys = one.calls().map(({ headers }) => headers['idempotency-key'])
    expect(new Set(keys).size).toBe(2)
  })

  it('is the client’s own where configured, unquoted', async () => {
    const one = conformance.operation('forward-client')
    await one.send({ key: '"own-key"' })
    expect(one.calls()[0]?.all('Idempotency-Key')).toEqual(['own-key'])
  })

  it('is absent where configured', async () => {
    const one = conformance.operation('forward-none')
    expect(statusOf(await one.send())).toBe('executed')
    expect(one.calls()[0]?.all('Idempotency-Key')).toEqual([])
  })
})

describe.concurrent('the attempt at the origin', () => {
  it('is the fence, which rises with every claim of the operation', async () => {
    const one = conformance.operation('resend')
    one.on(answer(500))
    for (let nth = 0; nth < 3; nth += 1) await one.send()
    expect(one.calls().map(({ headers }) => headers['idempotency-attempt'])).toEqual([
      '1',
      '2',
      '3',
    ])
  })
})

describe.concurrent('the correlation at the origin', () => {
  it('is the client’s id', async () => {
    const one = conformance.operation('default')
    await one.send({ headers: { 'X-Correlation-Id': 'order-7' } })
    expect(one.calls()[0]?.all('X-Correlation-Id')).toEqual(['order-7'])
  })

  it('is a new id and a new trace where the client sends neither, the id that it is answered', async () => {
    const one = conformance.operation('default')
    const reply = await one.send()
    const headers = one.calls()[0]?.headers
    expect(headers?.['x-correlation-id']).toMatch(UUID)
    expect(reply.headers['x-correlation-id']).toBe(headers?.['x-correlation-id'])
    expect(headers?.['traceparent']).toMatch(/^00-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-01$/)
  })

  it('is the client’s trace', async () => {
    const one = conformance.operation('default')
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
    await one.send({ headers: { traceparent } })
    const [call] = one.calls()
    expect(call?.all('traceparent')).toEqual([traceparent])
    expect(call?.headers['x-correlation-id']).toBe('0af7651916cd43dd8448eb211c80319c')
  })

  it.each([
    { name: 'is not fit for a log line', fields: { 'X-Correlation-Id': 'a b"c' } },
    { name: 'is too long', fields: { 'X-Correlation-Id': 'x'.repeat(129) } },
    { name: 'is no trace', fields: { traceparent: '00-xyz-1-01' } },
    {
      name: 'is the trace that is none',
      fields: { traceparent: `00-${'0'.repeat(32)}-${'1'.repeat(16)}-01` },
    },
  ])('is a new id where what the client sends $name', async ({ fields }) => {
    const one = conformance.operation('default')
    await one.send({ headers: fields })
    expect(one.calls()[0]?.headers['x-correlation-id']).toMatch(UUID)
  })
})

describe.concurrent('what the origin sends under a gateway field’s name', () => {
  const forged = {
    'Hapax-Error': 'key-reused',
    'Idempotency-Outcome': 'whatever',
    'Idempotency-Status': 'mismatch',
    'Idempotency-Store': 'max-age=1',
    'Idempotent-Replayed': 'true',
    'X-Correlation-Id': 'forged',
    'X-Kept': 'yes',
  }

  it('is dropped, for the first client and for every other', async () => {
    const one = conformance.operation('default')
    one.on(answer(409, forged, 'conflict'))
    const [first, second] = [await one.send(), await one.send()]
    expect([first, second].map(statusOf)).toEqual(['executed', 'replayed'])
    for (const { headers } of [first, second]) {
      expect(headers).toMatchObject({ 'x-kept': 'yes' })
      expect(headers['x-correlation-id']).not.toBe('forged')
      for (const name of ['hapax-error', 'idempotency-outcome', 'idempotency-store']) {
        expect(headers).not.toHaveProperty(name)
      }
    }
    expect(first.headers).not.toHaveProperty('idempotent-replayed')
    expect(second.all('Idempotent-Replayed')).toEqual(['true'])
  })

  it('is dropped on a request without a key', async () => {
    const one = conformance.operation('optional')
    one.on(answer(409, forged, 'conflict'))
    const { headers } = await one.send({ key: null })
    expect(headers).toMatchObject({ 'x-kept': 'yes', 'idempotency-status': 'unprotected' })
    expect(headers['x-correlation-id']).not.toBe('forged')
    const names = ['hapax-error', 'idempotency-outcome', 'idempotency-store', 'idempotent-replayed']
    expect(names.filter((name) => name in headers)).toEqual([])
  })
})
