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
