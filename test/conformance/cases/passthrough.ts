import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'

import { describe, expect, it } from 'vitest'

import { open, responseTo, send, sendRaw } from '../client.ts'
import { statusOf, useConformance } from '../harness.ts'
import { answer, hangUp } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()
const alice = { Authorization: 'Bearer alice' }

describe.concurrent('what no route matches', () => {
  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    'goes to the origin with its method: %s',
    async (method) => {
      const path = `/untouched/method-${method}`
      const reply = await send(conformance.gateway.url, { method, path })
      expect([reply.status, reply.text]).toEqual([201, '1'])
      expect(conformance.origin.callsTo(path).map((call) => call.method)).toEqual([method])
    },
  )

  it('has no body in the answer to HEAD', async () => {
    conformance.origin.on('/untouched/head', answer(200, { 'X-Kept': 'yes' }, 'x'))
    const reply = await send(conformance.gateway.url, { method: 'HEAD', path: '/untouched/head' })
    expect([reply.status, reply.headers['x-kept'], reply.text]).toEqual([200, 'yes', ''])
    expect(conformance.origin.callsTo('/untouched/head')[0]?.method).toBe('HEAD')
  })

  it.each([
    { name: 'escapes', path: '/untouched/a%2Fb%20c?x=%20+&y=%C3%A9&z' },
    { name: 'a query of its own', path: '/untouched/q?a=1&a=2&b=' },
    { name: 'an empty query', path: '/untouched/e?' },
  ])('goes there with path and query: $name', async ({ path }) => {
    await send(conformance.gateway.url, { method: 'GET', path })
    const { pathname } = new URL(path, 'http://origin')
    expect(conformance.origin.callsTo(pathname).map((call) => call.path)).toEqual([path])
  })

  it('goes there with all of its headers and its key, and back with those of the origin', async () => {
    const fields = {
      'idempotency-key': 'own, whatever it is',
      'idempotency-attempt': '7',
      authorization: 'Bearer alice',
      cookie: 'a=1; b=2',
      'x-correlation-id': 'mine',
      'x-custom': 'kept',
    }
    const answered = {
      'hapax-error': 'of the origin',
      'idempotency-status': 'of the origin',
      'cache-control': 'public',
      etag: '"e"',
    }
    conformance.origin.on(
      '/untouched/headers',
      answer(299, { ...answered, 'Set-Cookie': ['a=1', 'b=2'] }, 'x'),
    )
    const sent = { path: '/untouched/headers', headers: fields, body: 'text' }
    const reply = await send(conformance.gateway.url, sent)
    const [call] = conformance.origin.callsTo('/untouched/headers')
    expect(call?.headers).toMatchObject(fields)
    expect(call?.body.toString()).toBe('text')
    expect([reply.status, reply.text]).toEqual([299, 'x'])
    expect(reply.headers).toMatchObject({ ...answered, 'set-cookie': ['a=1', 'b=2'] })
  })

  it('gets no headers of a protected route', async () => {
    const reply = await send(conformance.gateway.url, { path: '/untouched/plain' })
    const names = Object.keys(reply.headers).filter((name) => /^(hapax|idempoten)/.test(name))
    expect(names).toEqual([])
  })

  it.each([301, 302, 303, 307, 308, 304])('gets a %i as it is, not followed', async (status) => {
    const path = `/untouched/redirect-${status}`
    const headers = status === 304 ? { ETag: '"e"' } : { Location: '/untouched/elsewhere' }
    conformance.origin.on(path, answer(status, headers))
    const reply = await send(conformance.gateway.url, { method: 'GET', path })
    expect([reply.status, reply.headers['location']]).toEqual([status, headers.Location])
    expect(conformance.origin.callsTo('/untouched/elsewhere')).toHaveLength(0)
  })

  it('is executed again when it comes again, with a key or without', async () => {
    const sent = { path: '/untouched/twice', headers: { 'Idempotency-Key': 'k' } }
    await send(conformance.gateway.url, sent)
    expect((await send(conformance.gateway.url, sent)).text).toBe('2')
  })

  it('is not bounded by the limits of protected routes', async () => {
    const body = Buffer.alloc(9 * 1024 * 1024, 'abcdefg')
    conformance.origin.on(
      '/untouched/large',
      (response, request) => void response.end(request.body),
    )
    const reply = await send(conformance.gateway.url, { path: '/untouched/large', body })
    expect(reply.body.equals(body)).toBe(true)
  })

  it('does not escape protection by another spelling of a protected path', async () => {
    const one = conformance.operation('default')
    const spellings = [
      one.path,
      `${one.path}/`,
      `/${one.path}`,
      one.path.replace(/\/(?=\d)/, '//'),
      `/x/..${one.path}`,
      `/.${one.path}`,
      one.path.replace('d', '%64'),
    ]
    for (const path of spellings) {
      const fields = ['Authorization: Bearer alice', 'Content-Type: text/plain']
      const reply = await sendRaw(conformance.gateway.url, [`POST ${path} HTTP/1.1`, ...fields])
      expect({ path, error: reply.headers['hapax-error'] }).toEqual({ path, error: 'key-missing' })
    }
    expect(one.calls()).toHaveLength(0)
  })
})

describe.concurrent('any request', () => {
  it.each(['default', 'optional', 'handler', 'untouched', '_hapax/problems'])(
    'is refused where its path hides a dot segment: /%s',
    async (route) => {
      const line = `POST /${route}/..%2Fx HTTP/1.1`
      const fields = ['Authorization: Bearer alice', 'Idempotency-Key: hidden']
      const reply = await sendRaw(conformance.gateway.url, [line, ...fields])
      const correlationId = String(reply.headers['x-correlation-id'])
      expect(reply.json()).toEqual({
        type: expect.stringMatching(
          /^http:\/\/[^/]+\/_hapax\/problems\/request-invalid$/,
        ) as string,
        title: 'The URL or the Host of the request is not valid',
        status: 400,
        detail: 'The path of the request hides a dot segment.',
        message: 'The path of the request hides a dot segment.',
        instance: `#${correlationId}`,
        retryable: false,
        retry: 'never',
        correlationId,
        error: {
          type: 'invalid_request_error',
          code: 'request-invalid',
          message: 'The path of the request hides a dot segment.',
        },
      })
      expect([reply.status, statusOf(reply)]).toEqual([400, 'rejected'])
      expect(conformance.origin.callsTo(`/${route}/..%2Fx`)).toEqual([])
    },
  )
})

describe.concurrent('a path of the gateway itself', () => {
  it.each([
    '/_hapax',
    '/_hapax/',
    '/_hapax/anything/else',
    '/_hapax/operations',
    '/_hapax/operations/x/y',
    '/%5Fhapax/anything',
    '//_hapax//anything',
  ])('never goes to the origin: %s', async (path) => {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
      const reply = await send(conformance.gateway.url, { method, path, headers: alice })
      expect([method, reply.status]).toEqual([method, 404])
    }
    expect(conformance.origin.callsTo(new URL(path, 'http://origin').pathname)).toHaveLength(0)
  })

  it('is where the contract stands, for whoever asks', async () => {
    const path = '/.well-known/idempotency'
    const statuses = ['GET', 'POST', 'DELETE'].map(async (method) => {
      return (await send(conformance.gateway.url, { method, path })).status
    })
    expect(await Promise.all(statuses)).toEqual([200, 404, 404])
    expect(conformance.origin.callsTo(path)).toHaveLength(0)
  })

  it('is not one that only looks like it', async () => {
    for (const path of ['/_hapaxes', '/.well-known/idempotency-key', '/x/_hapax/y']) {
      expect((await send(conformance.gateway.url, { method: 'GET', path })).text).toBe('1')
    }
  })
})

describe.concurrent('a stream', () => {
  it('of the origin comes chunk by chunk, as it is sent', async () => {
    const taken =
      Promise.withResolvers<Parameters<Parameters<typeof conformance.origin.take>[1]>[1]>()
    conformance.origin.take('/untouched/stream', (_, response) => taken.resolve(response))
    const outgoing = open(conformance.gateway.url, { method: 'GET', path: '/untouched/stream' })
    outgoing.end()
    const response = await taken.promise
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('data: 1\n\n')
    const incoming = await responseTo(outgoing)
    const chunks = incoming[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    expect((await chunks.next()).value?.toString()).toBe('data: 1\n\n')
    response.write('data: 2\n\n')
    expect((await chunks.next()).value?.toString()).toBe('data: 2\n\n')
    response.end()
    expect((await chunks.next()).done).toBe(true)
  })

  it('of the client reaches the origin before it ends', async () => {
    const taken = Promise.withResolvers<IncomingMessage>()
    conformance.origin.take('/untouched/upload', (incoming, response) => {
      taken.resolve(incoming)
      incoming.once('end', () => response.end('got it'))
    })
    const outgoing = open(conformance.gateway.url, {
      path: '/untouched/upload',
      headers: { 'Transfer-Encoding': 'chunked' },
    })
    outgoing.write('first')
    const incoming = await taken.promise
    const [chunk] = (await once(incoming, 'data')) as [Buffer]
    expect(chunk.toString()).toBe('first')
    incoming.resume()
    outgoing.end('last')
    expect((await buffer(await responseTo(outgoing))).toString()).toBe('got it')
  })
})

describe.concurrent('an upgrade to WebSocket', () => {
  it('goes through: messages come back, and the close as well', async () => {
    conformance.origin.server.on('upgrade', echo)
    const socket = new WebSocket(
      `${conformance.gateway.url.replace('http', 'ws')}/untouched/socket`,
    )
    await once(socket, 'open')
    for (const message of ['first', 'second \u20AC']) {
      socket.send(message)
      const [event] = (await once(socket, 'message')) as [MessageEvent]
      expect(event.data).toBe(`echo of ${message}`)
    }
    const closed = once(socket, 'close')
    socket.close(1000)
    const [event] = (await closed) as [CloseEvent]
    expect(event.code).toBe(1000)
  })
})

describe.concurrent('mode: off', () => {
  it('is as if the route were not protected', async () => {
    const one = conformance.operation('off')
    const replies = [await one.send(), await one.send(), await one.send({ key: null })]
    expect(replies.map(({ text }) => text)).toEqual(['1', '2', '3'])
    expect(replies.map(statusOf)).toEqual([undefined, undefined, undefined])
    expect(one.calls()[0]?.headers['idempotency-key']).toBe(one.key)
  })
})

describe.concurrent('required: false', () => {
  it('forwards without a key, every time', async () => {
    const one = conformance.operation('optional')
    const replies = [await one.send({ key: null }), await one.send({ key: null })]
    expect(replies.map(({ text }) => text)).toEqual(['1', '2'])
    expect(replies.map(statusOf)).toEqual(['unprotected', 'unprotected'])
  })

  it('asks for no tenant where there is no key', async () => {
    const one = conformance.operation('optional')
    expect((await one.send({ key: null, authorization: null })).status).toBe(201)
  })

  it('protects what comes with a key, and refuses one that is malformed', async () => {
    const one = conformance.operation('optional')
    const replies = [await one.send(), await one.send()]
    expect(replies.map(statusOf)).toEqual(['executed', 'replayed'])
    expectProblem(await one.send({ key: '' }), 'key-invalid')
    expect(one.calls()).toHaveLength(1)
  })

  it('says that a lost answer leaves it unknown, and that nothing was protected', async () => {
    const one = conformance.operation('optional')
    one.on(hangUp)
    const lost = { status: 502, word: 'unprotected' }
    expectProblem(await one.send({ key: null }), 'outcome-unknown', lost)
    expectProblem(await one.send({ key: null }), 'outcome-unknown', lost)
    expect(one.calls()).toHaveLength(2)
  })

  it('says that the origin was silent, and that nothing was protected', async () => {
    const one = conformance.operation('optional-timeout')
    one.on(() => {})
    const startedAt = performance.now()
    expectProblem(await one.send({ key: null }), 'origin-timeout', { word: 'unprotected' })
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_990)
    expect(one.calls()).toHaveLength(1)
  })

  it('gives the origin the correlation of a request without a key', async () => {
    const one = conformance.operation('optional')
    const reply = await one.send({ key: null })
    const [call] = one.calls()
    expect(call?.headers['x-correlation-id']).toBe(reply.headers['x-correlation-id'])
    expect(call?.headers['traceparent']).toMatch(/^00-/)
  })
})

/** Echoes texts of up to 125 bytes and the close (RFC 6455 §5.2). */
function echo(request: IncomingMessage, socket: Duplex): void {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  )
  let pending = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (data: Buffer) => {
    pending = Buffer.concat([pending, data])
    for (;;) {
      const size = (pending[1] ?? 0) & 0x7f
      const end = 6 + size
      if (pending.length < 6 || pending.length < end) return
      const opcode = (pending[0] ?? 0) & 0x0f
      const mask = pending.subarray(2, 6)
      const payload = pending.subarray(6, end).map((byte, at) => byte ^ (mask[at % 4] ?? 0))
      pending = pending.subarray(end)
      const reply = opcode === 8 ? payload : Buffer.concat([Buffer.from('echo of '), payload])
      socket.write(Buffer.concat([Buffer.from([0x80 | opcode, reply.length]), reply]))
      if (opcode === 8) socket.end()
    }
  })
}
