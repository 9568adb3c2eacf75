import path from 'node:path'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Answer, headerOf, statusOf } from '../../demo/client.ts'
import { freePort } from '../../demo/dev-server.ts'
import { startBareGateway } from './bare.ts'
import { openRaw } from './raw-client.ts'
import { type Gateway, json, type Origin, startOrigin } from './server.ts'

const config = path.join(import.meta.dirname, 'evidence-gateway/wrangler.toml')

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin, config })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

const problemOf = (answer: Answer) => [statusOf(answer), headerOf(answer, 'hapax-error')]
const wordOf = (answer: Answer) => headerOf(answer, 'idempotency-status')
const bodyOf = (answer: Answer) => (answer.kind === 'answered' ? answer.body : '')
const detailOf = (answer: Answer) => (JSON.parse(bodyOf(answer)) as { detail: string }).detail

const LOST = [502, 'outcome-unknown']
const HELD = [409, 'outcome-unknown']

/** An answer to the letter, whatever its status. */
const raw = (status: number, headers = '') => ({
  kind: 'raw' as const,
  bytes: Buffer.from(
    `HTTP/1.1 ${status} Odd\r\nConnection: close\r\nContent-Length: 2\r\n${headers}\r\nok`,
  ),
})

describe('a Worker behind a service binding', () => {
  const THROWN = [
    { name: 'certificate', text: 'The gift certificate could not be mailed' },
    { name: 'tls', text: 'TLS handshake failed: the courier refused to shake hands' },
    { name: 'dns', text: 'DNS lookup failed.' },
    { name: 'overloaded', text: 'too much', own: { overloaded: true, retryable: true } },
    { name: 'disconnected', text: 'Network connection lost.', own: { retryable: true } },
    { name: 'string', text: 'certificate', isBare: true },
  ]

  /** It does its work, which the origin counts, and then throws. */
  const bound = (url: string) => `
    const thrown = ${JSON.stringify(Object.fromEntries(THROWN.map((one) => [one.name, one])))}
    export default {
      async fetch(request) {
        const name = new URL(request.url).pathname.split('/').at(-1)
        await fetch('${url}/work/' + name, { method: 'POST' })
        const { text, own, isBare } = thrown[name]
        throw isBare ? text : Object.assign(new Error(text), own)
      },
    }
  `
  let bare: Gateway

  beforeAll(async () => {
    bare = await startBareGateway({ services: { ORIGIN: bound(origin.url) }, config })
  })

  afterAll(() => bare.stop())

  it.each(THROWN)('that has done its work and throws "$text" is in doubt', async ({ name }) => {
    const request = { path: `/held/${name}`, key: `held-${name}`, body: '{"amount":1}' }
    const worked = origin.requestsTo(`/work/${name}`).length
    expect(problemOf(await bare.send(request))).toEqual(LOST)
    expect(problemOf(await bare.send(request))).toEqual(HELD)
    expect(origin.requestsTo(`/work/${name}`)).toHaveLength(worked + 1)
  })

  it('is called again only where the route says that this is safe', async () => {
    const worked = origin.requestsTo('/work/certificate').length
    const request = { path: '/resent/certificate', key: 'resent', body: '{"amount":1}' }
    expect(problemOf(await bare.send(request))).toEqual(LOST)
    expect(origin.requestsTo('/work/certificate')).toHaveLength(worked + 2)
  })
})

describe('a connection', () => {
  const hosts = {
    refused: async () => `http://127.0.0.1:${await freePort()}`,
    unresolvable: async () => 'http://no-such-host.invalid',
    plain: async () => origin.url.replace('http:', 'https:'),
  }

  it.each([
    { name: 'that is refused', host: hosts.refused },
    { name: 'to a name that cannot be resolved', host: hosts.unresolvable },
    { name: 'by TLS to a port that speaks none', host: hosts.plain },
  ])('$name proves nothing', async ({ host }) => {
    const bare = await startBareGateway({ origin: { url: await host() }, config })
    try {
      const request = { path: '/held/connection', key: 'connection', body: '{"amount":1}' }
      expect(problemOf(await bare.send(request))).toEqual(LOST)
      expect(problemOf(await bare.send(request))).toEqual(HELD)
    } finally {
      await bare.stop()
    }
  })

  it.each(['before-headers', 'after-headers', 'mid-body'] as const)(
    'that breaks off %s proves nothing',
    async (when) => {
      const one = `/held/${when}`
      origin.on(one, { kind: 'destroy', when })
      const request = { path: one, key: when, body: '{"amount":1}' }
      expect(problemOf(await gateway.send(request))).toEqual(LOST)
      expect(problemOf(await gateway.send(request))).toEqual(HELD)
      expect(origin.requestsTo(one)).toHaveLength(1)
    },
  )
})

describe('a 503 that a proxy has made', () => {
  const text =
    'upstream connect error or disconnect/reset before headers. reset reason: termination'

  it.each([
    { name: 'plain', headers: {}, body: text },
    { name: 'brotli', headers: { 'Content-Encoding': 'br' }, body: brotliCompressSync(text) },
    { name: 'unreadable', headers: { 'Content-Encoding': 'br' }, body: text },
  ])('proves nothing: $name', async ({ name, headers, body }) => {
    const one = `/held/proxy-${name}`
    origin.on(one, { kind: 'respond', status: 503, headers, body })
    const encoded = { 'Accept-Encoding': 'gzip, br' }
    const request = { path: one, key: `proxy-${name}`, body: '{"amount":1}', headers: encoded }
    expect(statusOf(await gateway.send(request))).toBe(503)
    expect(problemOf(await gateway.send(request))).toEqual(HELD)
    expect(origin.requestsTo(one)).toHaveLength(1)
  })
})

describe('the word of an origin that nothing was executed', () => {
  it('counts where the rest of its answer is lost', async () => {
    const one = '/held/said'
    const headers = 'Idempotency-Outcome: not-executed\r\nConnection: close\r\nContent-Length: 9'
    const bytes = Buffer.from(`HTTP/1.1 500 Odd\r\n${headers}\r\n\r\n{`)
    origin.on(one, { kind: 'raw', bytes })
    const request = { path: one, key: 'said', body: '{"amount":1}' }
    const first = await gateway.send(request)
    expect([...problemOf(first), wordOf(first)]).toEqual([
      502,
      'origin-unreachable',
      'not-executed',
    ])
    expect(detailOf(first)).toContain('said that nothing was executed')
    expect(origin.requestsTo(one)).toHaveLength(4)
    origin.on(one, json(201, {}))
    expect(statusOf(await gateway.send(request))).toBe(201)
  })
})

describe('a status that is none of an answer', () => {
  it.each([
    { status: 600, route: '/held', headers: '' },
    { status: 999, route: '/held', headers: '' },
    { status: 101, route: '/held', headers: '' },
    { status: 600, route: '/ruled', headers: '' },
    { status: 600, route: '/held', headers: 'Idempotency-Outcome: executed\r\n' },
  ])('leaves it open what was executed: $status under $route $headers', async (row) => {
    const { status, route, headers } = row
    const key = `odd-${status}-${route.slice(1)}-${headers.length}`
    const one = `${route}/${key}`
    origin.on(one, raw(status, headers))
    const first = await gateway.send({ path: one, key, body: '{"amount":1}' })
    expect(problemOf(first)).toEqual(LOST)
    expect(detailOf(first)).toContain(`status ${status}`)
    expect(problemOf(await gateway.send({ path: one, key, body: '{"amount":1}' }))).toEqual(HELD)
    expect(origin.requestsTo(one)).toHaveLength(1)
  })

  it('frees the key where the origin says that nothing was executed, and is tried again', async () => {
    const one = '/held/odd-nothing'
    origin.on(one, (_, nth) =>
      nth < 4 ? raw(600, 'Idempotency-Outcome: not-executed\r\n') : json(201, { nth }),
    )
    const request = { path: one, key: 'odd-nothing', body: '{"amount":1}' }
    expect(await gateway.send(request)).toMatchObject({ status: 201, body: '{"nth":4}' })
  })

  it('is told to the last as what it is where all tries end so', async () => {
    const one = '/held/odd-never'
    origin.on(one, raw(600, 'Idempotency-Outcome: not-executed\r\n'))
    const request = { path: one, key: 'odd-never', body: '{"amount":1}' }
    const first = await gateway.send(request)
    expect(problemOf(first)).toEqual([502, 'origin-unreachable'])
    expect(wordOf(first)).toBe('not-executed')
    origin.on(one, json(201, {}))
    expect(statusOf(await gateway.send({ ...request, body: '{"amount":2}' }))).toBe(201)
  })

  it('is sent again, or asked about, as the route says', async () => {
    origin.on('/resent/odd', (_, nth) => (nth === 1 ? raw(600) : json(201, {})))
    const resent = { path: '/resent/odd', key: 'odd-resent', body: '{"amount":1}' }
    expect(statusOf(await gateway.send(resent))).toBe(201)
    origin.on('/asked/odd', raw(600))
    const asked = { path: '/asked/odd', key: 'odd-asked', body: '{"amount":1}' }
    expect(problemOf(await gateway.send(asked))).toEqual(LOST)
    const [received] = origin.requestsTo('/asked/odd')
    const status = `/status/${String(received?.headers['idempotency-key'])}`
    origin.on(status, raw(600))
    expect(problemOf(await gateway.send(asked))).toEqual(HELD)
    origin.on(status, json(200, { id: 7 }))
    expect(wordOf(await gateway.send(asked))).toBe('replayed')
  })

  it('is no leave to give a result out', async () => {
    const request = { path: '/reauthorized/odd', key: 'odd-reauthorized', body: '{"amount":1}' }
    expect(statusOf(await gateway.send(request))).toBe(201)
    origin.on('/may', raw(600))
    expect(problemOf(await gateway.send(request))).toEqual([502, 'origin-unreachable'])
    origin.on('/may', json(200, {}))
    expect(wordOf(await gateway.send(request))).toBe('replayed')
  })

  it('of a request without protection is told as what it is', async () => {
    for (const route of ['/keyless', '/handed-on-keyless']) {
      const one = `${route}/odd`
      origin.on(one, raw(999))
      const answer = await gateway.send({ path: one, body: '{"amount":1}' })
      expect(problemOf(answer)).toEqual(LOST)
      expect(wordOf(answer)).toBe('unprotected')
      expect(detailOf(answer)).toContain('status 999')
    }
  })

  it('of a handler that hands it on leaves it open what was executed', async () => {
    origin.on('/handed-on/odd', raw(600))
    const request = { path: '/handed-on/odd', key: 'odd-handed-on', body: '{"amount":1}' }
    const first = await gateway.send(request)
    expect(problemOf(first)).toEqual(LOST)
    expect(detailOf(first)).toContain('status 600')
    expect(problemOf(await gateway.send(request))).toEqual(HELD)
    expect(origin.requestsTo('/handed-on/odd')).toHaveLength(1)
  })

  it('that is only observed is passed on untouched', async () => {
    origin.on('/observed/odd', raw(600))
    const request = { path: '/observed/odd', key: 'odd-observed', body: '{"amount":1}' }
    expect(await gateway.send(request)).toMatchObject({ status: 600, body: 'ok' })
    expect(await gateway.send({ path: '/observed/odd', body: '1' })).toMatchObject({ status: 600 })
  })
})

describe('a GET or HEAD with a body', () => {
  it.each(['GET', 'HEAD'])('is refused before any claim: %s', async (method) => {
    const request = { method, path: '/any/stray', key: `stray-${method}` }
    const refused = await gateway.send({ ...request, body: '{"amount":1}' })
    expect(problemOf(refused)).toEqual([400, 'payload-invalid'])
    expect(origin.requestsTo('/any/stray').filter((one) => one.method === method)).toHaveLength(0)
    expect(statusOf(await gateway.send(request))).toBe(201)
  })

  it.each([
    { name: 'a length of 0', headers: { 'Content-Length': '0' } },
    { name: 'no chunks', headers: { 'Transfer-Encoding': 'chunked' } },
  ])('is forwarded where the body is empty: $name', async ({ name, headers }) => {
    const one = `/any/empty-${name.replaceAll(' ', '-')}`
    const request = { method: 'GET', path: one, key: name.replaceAll(' ', '-'), headers }
    expect(wordOf(await gateway.send(request))).toBe('executed')
    expect(wordOf(await gateway.send(request))).toBe('replayed')
    expect(origin.requestsTo(one)).toHaveLength(1)
  })

  it.each(['/keyless/stray', '/observed/stray'])(
    'is handed on as it came where it is not protected: %s',
    async (one) => {
      const request = { method: 'GET', path: one, body: '{"amount":1}' }
      expect(statusOf(await gateway.send(request))).toBe(201)
      expect(statusOf(await gateway.send({ ...request, key: 'stray' }))).not.toBe(500)
      const [received] = origin.requestsTo(one)
      expect(received?.body.toString()).toBe('{"amount":1}')
    },
  )

  it('comes to a handler, and is replayed', async () => {
    const request = { method: 'GET', path: '/handler/stray', key: 'stray', body: '{"amount":1}' }
    const first = await gateway.send(request)
    expect([wordOf(first), bodyOf(first)]).toEqual(['executed', 'read: {"amount":1}'])
    expect(wordOf(await gateway.send(request))).toBe('replayed')
  })
})

describe('a probe right after a timeout', () => {
  it('does not execute again what arrives late', async () => {
    const release = origin.hold('/probed/late')
    const request = { path: '/probed/late', key: 'probed-late', body: '{"amount":1}' }
    const first = gateway.send(request)
    const received = await origin.received('/probed/late')
    const status = `/status/${String(received.headers['idempotency-key'])}`
    origin.on(status, json(404, {}))
    expect(problemOf(await first)).toEqual([504, 'origin-timeout'])
    // Too early: the origin has not committed yet.
    const early = await gateway.send(request)
    expect(problemOf(early)).toEqual(HELD)
    expect(headerOf(early, 'x-should-retry')).toBe('true')
    expect(Number(headerOf(early, 'retry-after'))).toBeGreaterThanOrEqual(2)
    origin.on(status, json(200, { id: 'late' }))
    const replay = await gateway.send(request)
    expect([wordOf(replay), bodyOf(replay)]).toEqual(['replayed', '{"id":"late"}'])
    expect(origin.requestsTo('/probed/late')).toHaveLength(1)
    release(json(201, {}))
  })

  it('executes again, when the grace has ended, what has never arrived', async () => {
    origin.on('/probed/never', (_, nth) =>
      nth === 1 ? { kind: 'destroy', when: 'before-headers' } : json(201, { nth }),
    )
    const request = { path: '/probed/never', key: 'probed-never', body: '{"amount":1}' }
    expect(problemOf(await gateway.send(request))).toEqual(LOST)
    const [received] = origin.requestsTo('/probed/never')
    origin.on(`/status/${String(received?.headers['idempotency-key'])}`, json(404, {}))
    let again = await gateway.send(request)
    while (statusOf(again) === 409) {
      again = await gateway.send(request)
    }
    expect(again).toMatchObject({ status: 201, body: '{"nth":2}' })
    const attempts = origin
      .requestsTo('/probed/never')
      .map((one) => one.headers['idempotency-attempt'])
    expect(attempts).toEqual(['1', '2'])
  })
})

describe('an answer that a handler hands on', () => {
  it.each([
    { coding: 'gzip', encoded: gzipSync('hello'), isUndone: true },
    { coding: 'br', encoded: brotliCompressSync('hello'), isUndone: true },
    { coding: 'GZIP', encoded: gzipSync('hello'), isUndone: false },
    { coding: 'deflate', encoded: deflateSync('hello'), isUndone: false },
    { coding: 'zstd', encoded: Buffer.from('hello'), isUndone: false },
  ])('says how its bytes are encoded: $coding', async ({ coding, encoded, isUndone }) => {
    const one = `/handed-on/${coding}`
    const behaviour = { kind: 'respond', headers: { 'Content-Encoding': coding } } as const
    origin.on(one, { ...behaviour, body: encoded })
    const headers = { 'Accept-Encoding': 'gzip, deflate, br, zstd' }
    for (const word of ['executed', 'replayed']) {
      const answer = await openRaw(gateway.url, { path: one, key: one, headers }).ended
      const fields = answer.headerLines.map((line) => line.toLowerCase())
      expect(fields).toContain(`idempotency-status: ${word}`)
      expect(fields.filter((field) => field.startsWith('content-encoding'))).toEqual(
        isUndone ? [] : [`content-encoding: ${coding.toLowerCase()}`],
      )
      expect(answer.body).toEqual(isUndone ? Buffer.from('hello') : encoded)
    }
  })
})
