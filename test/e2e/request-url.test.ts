import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { startBareGateway } from './bare.ts'
import { bytesOf, type Outcome, sendBytes, type Sent } from './send-bytes.ts'
import { type Gateway, type Origin, startOrigin } from './server.ts'

let origin: Origin
/** Nobody has configured it. */
let stranger: Origin
/** The routes of this project. */
let gateway: Gateway
/** The same, before an origin that has a base path. */
let based: Gateway
/** The same, before an origin behind a service binding. */
let bound: Gateway

beforeAll(async () => {
  const config = 'wrangler.toml'
  ;[origin, stranger] = await Promise.all([startOrigin(), startOrigin()])
  gateway = await startBareGateway({ origin, config })
  based = await startBareGateway({ origin: { url: `${origin.url}/api` }, config })
  bound = await startBareGateway({ services: { ORIGIN: toldAbout(origin.url) }, config })
})

afterAll(async () => {
  await Promise.all([gateway.stop(), based.stop(), bound.stop()])
  await Promise.all([origin.close(), stranger.close()])
})

/** A Worker that tells the origin which URL and which Host it got. */
const toldAbout = (url: string) => `
  export default {
    async fetch(request) {
      const host = request.headers.get('Host') ?? 'none'
      return fetch('${url}/told', { method: 'POST', headers: { 'x-url': request.url, 'x-host': host } })
    },
  }
`

const BODY = '{"amount":1}'

function send(sent: Sent, to: Gateway = gateway): Promise<Outcome> {
  const lines = [`Content-Length: ${BODY.length}`, ...(sent.lines ?? [])]
  return sendBytes({ gateway: to, origin }, bytesOf({ ...sent, lines, rest: BODY }))
}

let keys = 0
const nextKey = () => `request-url-${(keys += 1)}`
const withKey = (key = nextKey()) => [`Idempotency-Key: ${key}`]

/** The document of a refusal. */
const documentOf = ({ text }: Outcome) =>
  JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)) as Record<string, unknown>

const portOf = ({ url }: Pick<Origin, 'url'>) => new URL(url).port

describe('the Host of a request', () => {
  it.each([
    '127.1',
    '2130706433',
    'gw:80',
    'gw:',
    'GW.Test:443',
    '127.0.0.1.evil.test',
    '[::1]:99',
    'a_b.test',
    'x,y',
    'stranger',
  ])('leads nowhere but to the configured origin: %s', async (name) => {
    const host = name === 'stranger' ? new URL(stranger.url).host : name
    const executed = await send({ host, lines: withKey() })
    expect(executed).toMatchObject({ words: ['executed'], effects: ['POST /payments'] })
    const passed = await send({ line: 'POST /other?x HTTP/1.1', host })
    expect(passed).toMatchObject({ statuses: [201], effects: ['POST /other?x'] })
    const hosts = origin.requests.slice(-2).map(({ headers }) => headers.host)
    expect(hosts).toEqual([new URL(origin.url).host, new URL(origin.url).host])
    expect(stranger.requests).toEqual([])
  })

  it.each(['POST /payments', 'POST /other', 'GET /other'])(
    'does not come to a Worker behind a service binding: %s',
    async (line) => {
      const told = origin.requestsTo('/told').length
      await send({ line: `${line} HTTP/1.1`, host: 'stranger.test', lines: withKey() }, bound)
      const headers = origin.requestsTo('/told')[told]?.headers
      const [, path = ''] = line.split(' ')
      expect([headers?.['x-url'], headers?.['x-host']]).toEqual([
        `https://origin.internal${path}`,
        'none',
      ])
    },
  )

  it.each([
    'userinfo',
    'userinfo-and-origin',
    'aaaa@gw',
    'a:b@gw',
    'x y',
    'x\ty',
    'x/payments',
    'x/payments?',
    String.raw`x\payments`,
    'x?y',
    'x#y',
    'gw:x',
    'gw:65536',
    'gw:-1',
    'gw: 80',
    'gw:80:80',
    '[::1',
    '::1',
    '1.2.3.4.5',
    'x%2Fy',
    'x"y',
    '<x>',
    'b\u00C3\u00BCcher.test',
    'a, b',
  ])('is refused where it is none, and nothing is claimed or sent: %j', async (name) => {
    const host = name
      .replace(/^userinfo$/, `aaaa@127.0.0.1:${portOf(stranger)}`)
      .replace(/^userinfo-and-origin$/, `127.0.0.1:${portOf(origin)}@127.0.0.1:${portOf(stranger)}`)
    const key = nextKey()
    for (const line of [
      'POST /payments HTTP/1.1',
      'POST /other HTTP/1.1',
      'GET /_hapax/problems HTTP/1.1',
    ]) {
      const refused = await send({ line, host, lines: withKey(key) })
      expect(refused).toMatchObject({ statuses: [400], words: ['rejected'], effects: [] })
      expect(refused.text).toMatch(/^hapax-error: request-invalid\r$/im)
      const document = documentOf(refused)
      expect(document).toMatchObject({
        type: '/_hapax/problems/request-invalid',
        instance: `#${String(document['correlationId'])}`,
        retry: 'never',
      })
    }
    expect(await send({ lines: withKey(key) })).toMatchObject({ words: ['executed'] })
    expect(stranger.requests).toEqual([])
    expect(gateway.log()).not.toContain(host)
  })

  it.each([
    { name: 'two of them', lines: ['Host: elsewhere.test'] },
    { name: 'one of them twice', lines: ['Host: gateway.test'] },
  ])('is refused where there are $name', async ({ lines }) => {
    const refused = await send({ lines: [...withKey(), ...lines] })
    expect(refused).toMatchObject({ statuses: [400], effects: [] })
  })

  it('is asked for with an asterisk as well, which is no path', async () => {
    const refused = await send({ line: 'OPTIONS * HTTP/1.1' })
    expect(refused).toMatchObject({ statuses: [400], effects: [] })
  })
})

describe('the path of a request', () => {
  it.each([
    '/x/..%2Fpayments',
    '/x%2f..%2fpayments',
    '/..%2Fadmin',
    '/..%5Cadmin',
    '/%2e%2e%5Cpayments',
    '/..;/payments',
    '/x/..;a=1/payments',
    '/x/..%3B/payments',
    '/.;/payments',
    '/payments/..;',
    '/payments/.%00',
  ])('is refused where a dot segment is hidden in it: %s', async (target) => {
    const key = nextKey()
    const refused = await send({ line: `POST ${target} HTTP/1.1`, lines: withKey(key) })
    expect(refused).toMatchObject({ statuses: [400], words: ['rejected'], effects: [] })
    expect(documentOf(refused)).toMatchObject({
      type: 'http://gateway.test/_hapax/problems/request-invalid',
    })
    expect(refused.text).not.toContain(target)
    expect(gateway.log()).not.toContain(target)
    expect(await send({ lines: withKey(key) })).toMatchObject({ words: ['executed'] })
  })

  it.each([
    { target: '/payments/', sent: '/payments/' },
    { target: '//payments//?a=1', sent: '/payments/?a=1' },
    { target: '/%70ayments/x/../', sent: '/payments/' },
    { target: '/payments/.', sent: '/payments' },
    { target: '/payments\\', sent: '/payments' },
    { target: '/orders/a%2fb/finalize?', sent: '/orders/a%2Fb/finalize?' },
    { target: '/orders/100%/finalize', sent: '/orders/100%25/finalize' },
    { target: '/orders/a%0Ab/finalize', sent: '/orders/a%0Ab/finalize' },
  ])('goes to the origin as it was matched: $target', async ({ target, sent }) => {
    const first = await send({ line: `POST ${target} HTTP/1.1`, lines: withKey() })
    expect(first).toMatchObject({ words: ['executed'], effects: [`POST ${sent}`] })
  })

  it.each([
    { target: '//untouched//a/', sent: '//untouched//a/' },
    { target: '/untouched/%7e%2f/./b\\?x=%7e', sent: '/untouched/~%2F/b/?x=%7e' },
    { target: '/untouched/%zz', sent: '/untouched/%25zz' },
    { target: '//evil.test/a', sent: '//evil.test/a' },
  ])('keeps its slashes where no route protects it: $target', async ({ target, sent }) => {
    const passed = await send({ line: `POST ${target} HTTP/1.1` })
    expect(passed).toMatchObject({ statuses: [201], words: [], effects: [`POST ${sent}`] })
  })
})

describe('an origin with a base path', () => {
  it.each([
    '/../admin/x',
    '/..',
    '/../',
    '/x/../../admin',
    '/%2e%2e/admin/x',
    '/%2E./payments',
    '/.%2e/api/payments',
    String.raw`/..\admin`,
    String.raw`\x/..\..\admin`.replace(/^./, '/'),
    '//../admin',
    '/./../admin',
    'http://elsewhere.test/../admin',
    '/..%2Fadmin',
    '/..;/admin',
  ])('is not left, and nothing is claimed: %s', async (target) => {
    const key = nextKey()
    const refused = await send({ line: `POST ${target} HTTP/1.1`, lines: withKey(key) }, based)
    expect(refused).toMatchObject({ statuses: [400], words: ['rejected'], effects: [] })
    expect(refused.text).toMatch(/^hapax-error: request-invalid\r$/im)
    expect(await send({ lines: withKey(key) }, based)).toMatchObject({
      words: ['executed'],
      effects: ['POST /api/payments'],
    })
  })

  it.each([
    { target: '/payments', sent: '/api/payments', words: ['executed'] },
    { target: '/x/../payments/', sent: '/api/payments/', words: ['executed'] },
    { target: '/a//b/../c/', sent: '/api/a//c/', words: [] },
    { target: '/', sent: '/api/', words: [] },
    { target: '/api/../x', sent: '/api/x', words: [] },
    { target: '/.../x', sent: '/api/.../x', words: [] },
  ])('gets what is below it: $target', async ({ target, sent, words }) => {
    const passed = await send({ line: `POST ${target} HTTP/1.1`, lines: withKey() }, based)
    expect(passed).toMatchObject({ statuses: [201], words, effects: [`POST ${sent}`] })
  })

  it('is nothing to leave where it is the root', async () => {
    const line = 'POST /../payments HTTP/1.1'
    expect(await send({ line, lines: withKey() })).toMatchObject({
      words: ['executed'],
      effects: ['POST /payments'],
    })
  })
})
