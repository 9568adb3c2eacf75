import { randomBytes } from 'node:crypto'
import {
  brotliCompressSync,
  constants,
  createGzip,
  deflateRawSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { startBareGateway } from './bare.ts'
import {
  openRaw,
  type RawAnswer,
  type RawRequest,
  rawStatus,
  rawValue,
  rawValues,
  sendRaw,
} from './raw-client.ts'
import { type Gateway, json, type Origin, type Respond, startOrigin } from './server.ts'

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

type Headers = Readonly<Record<string, string>>

/** The request of a path; every path is one operation. */
function requestTo(where: string, headers: Headers = {}): RawRequest {
  return { path: where, key: where, body: '{"amount":1}', headers }
}

const send = (where: string, headers?: Headers) => sendRaw(gateway.url, requestTo(where, headers))
const wordOf = (reply: RawAnswer) => rawValue(reply, 'Idempotency-Status')

/** Asks for the result of the operation that a path's first request has made. */
async function resultOf(where: string, headers: Headers = {}): Promise<RawAnswer> {
  const [request] = origin.requestsTo(where)
  const id = String(request?.headers['idempotency-key'])
  return sendRaw(gateway.url, { method: 'GET', path: `/_hapax/operations/${id}/result`, headers })
}

function answer(headers: Record<string, string>, body: string | Uint8Array = 'ok'): Respond {
  const length = String(Buffer.byteLength(body))
  return { kind: 'respond', status: 201, headers: { 'Content-Length': length, ...headers }, body }
}

/** Names of fields as they arrived, in lower case. */
const namesAt = (where: string, nth = 0) =>
  Object.keys(origin.requestsTo(where)[nth]?.headers ?? {})

/** Which many origins cannot tell from fields of the gateway, and two that are nobody's twins. */
const TWINS = {
  Idempotency_Key: 'forged',
  'Idempotency.Attempt': '7',
  'Idempotency!Status': 'forged',
  X_Correlation_Id: 'forged',
  'X-Correlation_Id': 'forged',
  Hapax_X: 'forged',
  Accept_Encoding: 'br',
  Content_Length: '0',
  Transfer_Encoding: 'chunked',
  Content_Type: 'text/plain',
  X_Tenant_Id: 'kept',
  user_id: 'kept',
}
const KEPT = ['user_id', 'x_tenant_id']
const signed = (names: readonly string[]) =>
  names.filter((name) => /[^a-z\d-]/.test(name)).toSorted()

describe('a field whose name many origins read as one of the gateway’s', () => {
  it.each(['/wire/twins', '/durable/twins'])('does not reach the origin: %s', async (where) => {
    expect(wordOf(await send(where, TWINS))).toBe('executed')
    expect(signed(namesAt(where))).toEqual(KEPT)
    expect(origin.requestsTo(where)[0]?.headers).toMatchObject({
      'content-type': 'application/json',
      'idempotency-attempt': '1',
    })
  })

  it('does not reach it without a key either', async () => {
    const where = '/keyless/twins'
    const reply = await sendRaw(gateway.url, { path: where, body: '{}', headers: TWINS })
    expect(wordOf(reply)).toBe('unprotected')
    expect(signed(namesAt(where))).toEqual(KEPT)
    expect(namesAt(where)).not.toContain('idempotency-key')
  })

  it('is no key', async () => {
    const request = { path: '/wire/no-key', body: '{}', headers: { Idempotency_Key: 'a' } }
    expect(rawValue(await sendRaw(gateway.url, request), 'Hapax-Error')).toBe('key-missing')
  })

  it('does not reach it where Connection names it', async () => {
    const where = '/wire/named'
    await send(where, { Connection: 'close, X-Hop', X_Hop: '1', X_Hops: '1' })
    expect(signed(namesAt(where))).toEqual(['x_hops'])
  })

  it('does not come with the question whether a caller may have a result', async () => {
    const where = '/allowed/twins'
    origin.on('/may-read', json(200, {}))
    await send(where)
    const override = { 'X-HTTP-Method-Override': 'DELETE', If_None_Match: '*' }
    const replies = [await send(where, TWINS), await resultOf(where, { ...TWINS, ...override })]
    expect(replies.map(rawStatus)).toEqual([201, 201])
    for (const nth of [0, 1]) {
      expect(signed(namesAt('/may-read', nth))).toEqual(KEPT)
      expect(namesAt('/may-read', nth)).toContain('x-correlation-id')
      expect(namesAt('/may-read', nth)).not.toContain('x-http-method-override')
    }
  })

  it('does not come with the question what became of an operation', async () => {
    const where = '/asked/twins'
    origin.on(where, json(500, {}))
    origin.on('/status', json(200, { id: 1 }))
    await send(where)
    expect(wordOf(await send(where, TWINS))).toBe('replayed')
    expect(signed(namesAt('/status'))).toEqual(KEPT)
  })

  it('does not reach the client', async () => {
    const where = '/wire/reserved'
    const forged = { Idempotency_Status: 'forged', Hapax_Error: 'forged', X_Correlation_Id: 'x' }
    origin.on(where, answer({ ...forged, X_Other: 'kept' }))
    for (const reply of [await send(where), await send(where)]) {
      const names = reply.headerLines.map((line) => line.slice(0, line.indexOf(':')).toLowerCase())
      expect(signed(names)).toEqual(['x_other'])
    }
  })
})

describe('what tells caches to keep an answer', () => {
  const caching = {
    'CDN-Cache-Control': 'max-age=600',
    'Cloudflare-CDN-Cache-Control': 'max-age=600',
    'Edge-Control': 'max-age=600',
    Expires: 'Thu, 01 Jan 2099 00:00:00 GMT',
    'Netlify-CDN-Cache-Control': 'public, durable',
    Pragma: 'cache',
    'Surrogate-Control': 'public',
    'Vercel-CDN-Cache-Control': 'max-age=600',
    'X-Accel-Expires': '600',
  }
  const namesOf = (reply: RawAnswer) =>
    Object.keys(caching).filter((name) => rawValues(reply, name).length > 0)

  it.each([
    { name: 'public', said: 'public, max-age=60, s-maxage=60, immutable', expected: 'no-store' },
    { name: 'private', said: 'private, max-age=60, must-revalidate', expected: 'private' },
    { name: 'no-store', said: 'private, no-store', expected: 'no-store' },
  ])('reaches the first client alone: $name', async ({ name, said, expected }) => {
    const where = `/stream/caching-${name}`
    const stream = origin.stream(where, { headers: { ...caching, 'Cache-Control': said } })
    const first = openRaw(gateway.url, requestTo(where))
    await stream.write('a')
    await first.head
    const joined = openRaw(gateway.url, requestTo(where))
    await joined.head
    await stream.end()
    const replies = [await joined.ended, await send(where), await resultOf(where)]
    expect(namesOf(await first.ended)).toEqual(Object.keys(caching))
    expect(rawValue(await first.ended, 'Cache-Control')).toBe(said)
    expect(replies.slice(0, 2).map(wordOf)).toEqual(['joined', 'replayed'])
    for (const reply of replies) {
      expect(namesOf(reply)).toEqual([])
      expect(rawValues(reply, 'Cache-Control')).toEqual([expected])
    }
  })
})

describe('a field that makes another request of it', () => {
  it.each([
    { name: 'X-HTTP-Method-Override', value: 'DELETE' },
    { name: 'X-HTTP-Method', value: 'DELETE' },
    { name: 'X-Method-Override', value: 'DELETE' },
    { name: 'X_HTTP_Method_Override', value: 'DELETE' },
    { name: 'X-Original-URL', value: '/admin' },
    { name: 'Range', value: 'bytes=0-1' },
    { name: 'If-None-Match', value: '"v1"' },
    { name: 'If-Modified-Since', value: 'Thu, 01 Jan 2026 00:00:00 GMT' },
  ])('is told from one without it, both ways: $name', async ({ name, value }) => {
    const fields = { [name]: value }
    const [plain, marked] = [`/wire/without-${name}`, `/wire/with-${name}`]
    await send(plain)
    await send(marked, fields)
    const replies = [await send(plain, fields), await send(marked), await send(marked, fields)]
    expect(replies.map(wordOf)).toEqual(['mismatch', 'mismatch', 'replayed'])
    for (const reply of replies.slice(0, 2)) {
      expect(JSON.parse(reply.body.toString())).toMatchObject({ differs: ['headers'] })
    }
    expect(origin.requestsTo(marked)[0]?.headers[name.toLowerCase()]).toBe(value)
  })

  it.each([
    { status: 206, headers: { Range: 'bytes=0-1' } },
    { status: 304, headers: { 'If-None-Match': '"v1"' } },
  ])('$status is for the request that asks for it', async ({ status, headers }) => {
    const where = `/wire/${status}`
    origin.on(where, { kind: 'respond', status, headers: { ETag: '"v1"' } })
    const replies = [await send(where, headers), await send(where, headers), await send(where)]
    expect(replies.map(rawStatus)).toEqual([status, status, 409])
  })
})

const MIB = 1_048_576
const plain = Buffer.from(JSON.stringify({ text: 'once '.repeat(1_000) }))
const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }

const encoded = {
  gzip: gzipSync(plain),
  'x-gzip': gzipSync(plain),
  deflate: deflateSync(plain),
  br: brotliCompressSync(plain),
  zstd: zstdCompressSync(plain),
  'deflate, gzip': gzipSync(deflateRawSync(plain)),
  'br, gzip': gzipSync(brotliCompressSync(plain)),
  compress: Buffer.from('not known here'),
}
type Stored = keyof typeof encoded

/** Lets the first client store an answer in some coding, and asks for it as another client. */
async function storeAndAsk(where: string, stored: Stored, accepted: string | null) {
  const digests = { 'Content-Digest': 'sha-256=:AA==:', 'Repr-Digest': 'sha-256=:AA==:' }
  const { [stored]: bytes } = encoded
  origin.on(
    where,
    answer({ 'Content-Encoding': stored, ETag: '"v1"', 'Content-MD5': 'AA==', ...digests }, bytes),
  )
  const first = await send(where, { 'Accept-Encoding': stored })
  const headers = accepted === null ? {} : { 'Accept-Encoding': accepted }
  const replies = [await send(where, headers), await resultOf(where, headers)]
  expect(wordOf(first)).toBe('executed')
  expect(replies.map((reply) => rawValue(reply, 'Idempotent-Replayed'))).toEqual(['true', 'true'])
  expect(origin.requestsTo(where)).toHaveLength(1)
  return { first, replies }
}

const pathOf = (name: string) => `/wire/${name.replaceAll(/[^\w.]+/g, '-')}`

describe('a stored answer that is encoded', () => {
  it.each([
    { stored: 'gzip', accepted: 'gzip' },
    { stored: 'gzip', accepted: 'br, gzip;q=0.1' },
    { stored: 'gzip', accepted: '*' },
    { stored: 'gzip', accepted: null },
    { stored: 'br', accepted: 'br' },
    { stored: 'br', accepted: null },
    { stored: 'zstd', accepted: 'zstd' },
    { stored: 'deflate, gzip', accepted: 'gzip, deflate' },
    // It cannot be undone here, and that it was executed must not be hidden.
    { stored: 'compress', accepted: 'identity' },
  ] as const)('comes to the letter: $stored, accepted: $accepted', async ({ stored, accepted }) => {
    const { first, replies } = await storeAndAsk(
      pathOf(`as-is-${stored}-${accepted}`),
      stored,
      accepted,
    )
    for (const reply of [first, ...replies]) {
      expect(reply.body).toEqual(encoded[stored])
      expect(rawStatus(reply)).toBe(201)
      expect(rawValue(reply, 'Content-Encoding')).toBe(stored)
      expect(rawValue(reply, 'Content-Length')).toBe(String(encoded[stored].length))
      expect(rawValue(reply, 'ETag')).toBe('"v1"')
      expect(rawValue(reply, 'Content-Digest')).toBe('sha-256=:AA==:')
    }
  })

  it.each([
    { stored: 'gzip', accepted: 'identity' },
    { stored: 'gzip', accepted: 'gzip;q=0' },
    { stored: 'gzip', accepted: 'br' },
    { stored: 'gzip', accepted: '*;q=0' },
    { stored: 'gzip', accepted: 'identity, gzip;q=0, *' },
    { stored: 'x-gzip', accepted: 'identity' },
    { stored: 'deflate', accepted: 'gzip' },
    { stored: 'br', accepted: 'gzip' },
    { stored: 'br', accepted: 'identity' },
    { stored: 'zstd', accepted: 'gzip, deflate, br' },
    { stored: 'deflate, gzip', accepted: 'gzip' },
    { stored: 'br, gzip', accepted: 'identity' },
  ] as const)(
    'comes decoded where it could not be read: $stored, accepted: "$accepted"',
    async ({ stored, accepted }) => {
      const { replies } = await storeAndAsk(
        pathOf(`undone-${stored}-${accepted}`),
        stored,
        accepted,
      )
      for (const reply of replies) {
        expect([reply.isWhole, reply.body.equals(plain)]).toEqual([true, true])
        expect(rawValue(reply, 'ETag')).toBe('W/"v1"')
        expect(rawValue(reply, 'Vary')).toBe('Accept-Encoding')
        for (const name of ['Content-Encoding', 'Content-MD5', 'Content-Digest', 'Repr-Digest']) {
          expect(rawValues(reply, name)).toEqual([])
        }
      }
    },
  )

  it('is undone no further than the client needs', async () => {
    const { replies } = await storeAndAsk(pathOf('partly'), 'br, gzip', 'br')
    for (const reply of replies) {
      expect(rawValue(reply, 'Content-Encoding')).toBe('br')
      expect(reply.body).toEqual(brotliCompressSync(plain))
    }
  })

  it.each([
    { coding: 'gzip', encode: (bytes: Buffer) => gzipSync(bytes, { level: 1 }) },
    { coding: 'br', encode: (bytes: Buffer) => brotliCompressSync(bytes, QUICK) },
  ])('is decoded as it is read, however large: $coding', async ({ coding, encode }) => {
    const path = `/large?${coding}`
    const bytes = Buffer.concat([Buffer.alloc(12 * MIB, plain), randomBytes(2 * MIB)])
    origin.on('/large', answer({ 'Content-Encoding': coding }, encode(bytes)))
    const first = await send(path, { 'Accept-Encoding': coding })
    const reply = await send(path, { 'Accept-Encoding': 'identity' })
    expect([wordOf(first), wordOf(reply)]).toEqual(['executed', 'replayed'])
    expect([reply.isWhole, reply.body.length]).toEqual([true, bytes.length])
    expect(reply.body.equals(bytes)).toBe(true)
  })

  it('is decoded for a client that joins while it comes', async () => {
    const path = '/stream/encoded'
    const gzip = createGzip()
    const head = { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' }
    const stream = origin.stream(path, { headers: head })
    const flush = async (text: string) => {
      gzip.write(text)
      await new Promise<void>((resolve) => gzip.flush(() => resolve()))
      await stream.write(gzip.read() as Buffer)
    }
    const first = openRaw(gateway.url, requestTo(path, { 'Accept-Encoding': 'gzip' }))
    await flush('data: one\n\n')
    await first.head
    const joined = openRaw(gateway.url, requestTo(path, { 'Accept-Encoding': 'identity' }))
    expect(await joined.bodyAt(11)).toBe('data: one\n\n')
    await flush('data: two\n\n')
    expect(await joined.bodyAt(22)).toBe('data: one\n\ndata: two\n\n')
    gzip.end()
    for await (const chunk of gzip) await stream.write(chunk as Buffer)
    await stream.end()
    const [whole, follower] = [await first.ended, await joined.ended]
    expect(gunzipSync(whole.body).toString()).toBe(follower.body.toString())
    expect([wordOf(follower), rawValue(follower, 'Content-Encoding')]).toEqual([
      'joined',
      undefined,
    ])
    expect(follower.isWhole).toBe(true)
  })

  it.each([
    { name: 'cut off', coding: 'gzip', bytes: encoded.gzip.subarray(0, -9) },
    { name: 'another', coding: 'gzip', bytes: encoded.br },
    { name: 'cut off', coding: 'br', bytes: encoded.br.subarray(0, -1) },
    {
      name: 'dense beyond measure',
      coding: 'br',
      bytes: brotliCompressSync(Buffer.alloc(128 * MIB), QUICK),
    },
  ])('breaks off where it is broken: $coding, $name', async ({ name, coding, bytes }) => {
    const path = pathOf(`broken-${coding}-${name}`)
    origin.on(path, answer({ 'Content-Encoding': coding }, bytes))
    const first = await send(path, { 'Accept-Encoding': coding })
    const replay = await send(path, { 'Accept-Encoding': 'identity' })
    const same = await send(path, { 'Accept-Encoding': coding })
    expect([first.body.equals(bytes), same.body.equals(bytes)]).toEqual([true, true])
    expect(replay.isWhole).toBe(false)
    expect(rawStatus(await send('/wire/alive-after-it'))).toBe(201)
  })

  it.each([
    { name: 'an empty body', method: 'POST', status: 200 },
    { name: 'HEAD', method: 'HEAD', status: 200 },
    { name: '304', method: 'POST', status: 304 },
  ])('has the head of what is decoded, without a body: $name', async ({ name, method, status }) => {
    const path = pathOf(`empty-${name}`)
    const length: Record<string, string> = method === 'HEAD' ? { 'Content-Length': '42' } : {}
    const headers = { 'Content-Encoding': 'gzip', ETag: '"v1"', ...length }
    origin.on(path, { kind: 'respond', status, headers })
    const ask = (accepted: string) =>
      sendRaw(gateway.url, { method, path, key: path, headers: { 'Accept-Encoding': accepted } })
    const [first, same, other] = [await ask('gzip'), await ask('gzip'), await ask('identity')]
    expect([rawValue(first, 'ETag'), rawValue(same, 'ETag')]).toEqual(['"v1"', '"v1"'])
    expect(rawValue(same, 'Content-Encoding')).toBe('gzip')
    expect(rawValues(other, 'Content-Encoding')).toEqual([])
    expect(rawValue(other, 'ETag')).toBe('W/"v1"')
    expect(rawValues(other, 'Content-Length')).not.toContain('42')
    expect([other.isWhole, other.body.length]).toEqual([true, 0])
  })

  it('stays what it is where it is a part: its bytes are not encoded on their own', async () => {
    const path = pathOf('part')
    const headers = { 'Content-Encoding': 'gzip', 'Content-Range': 'bytes 2-4/99' }
    origin.on(path, { kind: 'respond', status: 206, headers, body: 'abc' })
    const range = { Range: 'bytes=2-4' }
    await send(path, { ...range, 'Accept-Encoding': 'gzip' })
    const replay = await send(path, { ...range, 'Accept-Encoding': 'identity' })
    expect([wordOf(replay), rawStatus(replay)]).toEqual(['replayed', 206])
    expect(replay.body.toString()).toBe('abc')
    expect(rawValue(replay, 'Content-Encoding')).toBe('gzip')
  })

  it.each([
    { accepted: null, asked: 'identity' },
    { accepted: 'gzip;q=0.5, br', asked: 'gzip;q=0.5, br' },
    { accepted: 'dcb, compress, gzip', asked: 'gzip' },
    { accepted: 'compress', asked: 'identity' },
    { accepted: '*', asked: 'gzip, deflate, br, zstd' },
  ])('is asked for so that it can be decoded: $accepted', async ({ accepted, asked }) => {
    const path = pathOf(`asked-${accepted}`)
    await send(path, accepted === null ? {} : { 'Accept-Encoding': accepted })
    expect(origin.requestsTo(path)[0]?.headers['accept-encoding']).toBe(asked)
  })

  it('is decoded where another JSON-RPC call gets it as its own', async () => {
    const call = (id: number) => ({
      path: '/mcp/keyed',
      key: 'encoded-call',
      body: JSON.stringify({
        jsonrpc: '2.0',
        id,
        method: 'tools/call',
        params: { name: 'pay', _meta: { idempotencyKey: 'encoded-call' } },
      }),
      headers: { 'Accept-Encoding': 'gzip' },
    })
    const result = gzipSync('{"jsonrpc":"2.0","id":1,"result":{}}')
    const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }
    origin.on('/mcp/keyed', answer({ ...headers, 'Content-Digest': 'sha-256=:AA==:' }, result))
    await sendRaw(gateway.url, call(1))
    const second = await sendRaw(gateway.url, call(2))
    const marked = '"result":{"_meta":{"hapax/replayed":{"ageSeconds":'
    expect(second.body.toString()).toContain(`{"jsonrpc":"2.0","id":2,${marked}`)
    expect(rawValues(second, 'Content-Digest')).toEqual([])
    expect(origin.requestsTo('/mcp/keyed')[0]?.headers['accept-encoding']).toBe('identity')
  })
})
