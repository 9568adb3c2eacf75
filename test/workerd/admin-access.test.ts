import { env } from 'cloudflare:workers'
import { sign } from 'hono/jwt'
import {
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  type MockInstance,
  vi,
} from 'vitest'

import { type DeadLetter, directoryOf } from '../../src/directory/directory-guard.ts'
import { credential } from '../../src/hapax.ts'
import { createAdmin } from '../../src/operators/admin.ts'
import { clientOf, createOperatedGateway } from './gateway.ts'
import { playOrigin } from './origin.ts'

let log: MockInstance<typeof console.log>
beforeEach(() => {
  log = vi.spyOn(console, 'log').mockImplementation(() => {})
  vi.spyOn(env.METRICS, 'writeDataPoint')
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const TOKEN = 'operator-token-of-this-test'
const PREVIOUS = 'operator-token-before-it'
const CONFIGURED = { HAPAX_ADMIN_TOKEN: TOKEN }
const ROTATING = { ...CONFIGURED, HAPAX_ADMIN_TOKEN_PREVIOUS: PREVIOUS }
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** Every path of the API, some that it does not have, and every method. */
const REQUESTS = [
  ...createAdmin({}).routes.map(({ path }) => path),
  '',
  '/unheard-of',
  '/operations/lookup/x',
].flatMap((pattern) => {
  const path = pattern.replace('/*', '').replace(':id', 'A'.repeat(43))
  return METHODS.map((method) => ({ method, path }))
})

interface Sent {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly vars?: Record<string, string | undefined>
}

/** A gateway whose objects nobody may reach. */
function open() {
  const origin = playOrigin(() => new Response('the origin'))
  const reached = vi.fn(() => {
    throw new Error('An object was reached.')
  })
  const objects = { getByName: reached, get: reached, idFromName: reached }
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  async function send(path: string, { method = 'GET', headers = {}, vars = CONFIGURED }: Sent) {
    const isEmpty = method === 'GET' || method === 'HEAD'
    const request = new Request<unknown, IncomingRequestCfProperties>(
      `https://gateway.test${path}`,
      { method, headers, body: isEmpty ? null : '{"tenant":"t","key":"k"}' },
    )
    return app.fetch(request, { ...env, OPERATIONS: objects, DIRECTORY: objects, ...vars })
  }
  return { origin, reached, send }
}

async function read(response: Response) {
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    body: await response.text(),
  }
}

/** Nobody heard of it: no object, no origin, no audit, no point. */
function expectNothing({ origin, reached }: ReturnType<typeof open>): void {
  expect(reached).not.toHaveBeenCalled()
  expect(origin.requests).toEqual([])
  expect(log).not.toHaveBeenCalled()
  expect(env.METRICS.writeDataPoint).not.toHaveBeenCalled()
}

const basic = `Basic ${btoa(`admin:${TOKEN}`)}`
const cookie = `CF_Authorization=${TOKEN}; token=${TOKEN}; authorization=Bearer ${TOKEN}`

const ATTACKS: { name: string; headers?: Record<string, string>; query?: string }[] = [
  { name: 'no credentials' },
  { name: 'an empty header', headers: { Authorization: '' } },
  { name: 'the scheme alone', headers: { Authorization: 'Bearer' } },
  { name: 'the scheme and a blank', headers: { Authorization: 'Bearer ' } },
  { name: 'another token', headers: { Authorization: 'Bearer something-else-altogether' } },
  {
    name: 'all of the token but its end',
    headers: { Authorization: `Bearer ${TOKEN.slice(0, -1)}` },
  },
  { name: 'the token and more', headers: { Authorization: `Bearer ${TOKEN}x` } },
  { name: 'the token and another word', headers: { Authorization: `Bearer ${TOKEN} x` } },
  { name: 'two tokens', headers: { Authorization: `Bearer x, Bearer ${TOKEN}` } },
  { name: 'the token in capitals', headers: { Authorization: `Bearer ${TOKEN.toUpperCase()}` } },
  { name: 'the token without a scheme', headers: { Authorization: TOKEN } },
  { name: 'the token as Basic', headers: { Authorization: basic } },
  { name: 'the token under another scheme', headers: { Authorization: `Token ${TOKEN}` } },
  { name: 'the token in another header', headers: { 'X-Api-Key': TOKEN, 'X-Admin-Token': TOKEN } },
  { name: 'the token in a cookie', headers: { Cookie: cookie } },
  { name: 'the token in the query', query: `?token=${TOKEN}&access_token=${TOKEN}&key=${TOKEN}` },
  { name: 'the word undefined', headers: { Authorization: 'Bearer undefined' } },
  { name: 'the token that was before', headers: { Authorization: `Bearer ${PREVIOUS}` } },
  { name: 'the token as an assertion of Access', headers: { 'Cf-Access-Jwt-Assertion': TOKEN } },
  {
    name: 'a name that Access would have put there',
    headers: { 'Cf-Access-Authenticated-User-Email': 'ops@example.com' },
  },
]

const REFUSED = JSON.stringify({
  type: 'about:blank',
  title: 'Unauthorized',
  status: 401,
  detail: 'Send the admin token as a bearer token, or come through Cloudflare Access.',
})

describe('the admin API, attacked', () => {
  it('has routes to be attacked', () => {
    expect(REQUESTS.length).toBeGreaterThan(80)
  })

  it.each(ATTACKS)(
    'lets nobody in with $name, whatever they ask for',
    async ({ headers, query }) => {
      const gateway = open()
      for (const { method, path } of REQUESTS) {
        const asked = `/_hapax/admin${path}${query ?? ''}`
        const {
          status,
          body,
          headers: answered,
        } = await read(await gateway.send(asked, { method, headers: headers ?? {} }))
        expect({ method, path, status }).toEqual({ method, path, status: 401 })
        expect(answered).toMatchObject({
          'www-authenticate': 'Bearer realm="hapax admin"',
          'cache-control': 'no-store',
          'content-type': 'application/problem+json',
        })
        // The answer is one and the same, so that it tells nothing of what is there.
        expect(body).toBe(method === 'HEAD' ? '' : REFUSED)
      }
      expectNothing(gateway)
    },
  )

  it.each([
    { name: 'the token', token: TOKEN, vars: CONFIGURED },
    {
      name: 'the token, its scheme in small letters',
      token: TOKEN,
      scheme: 'bearer',
      vars: CONFIGURED,
    },
    { name: 'the new token of a rotation', token: TOKEN, vars: ROTATING },
    { name: 'the old token of a rotation', token: PREVIOUS, vars: ROTATING },
  ])('lets in with $name', async ({ token, scheme = 'Bearer', vars }) => {
    const headers = { Authorization: `${scheme} ${token}` }
    const response = await open().send('/_hapax/admin/openapi.json', { headers, vars })
    expect(response.status).toBe(200)
    expect(response.headers.get('Cache-Control')).toBe('no-store')
  })

  it.each([
    { name: 'an empty token', vars: { ...CONFIGURED, HAPAX_ADMIN_TOKEN_PREVIOUS: '' }, token: '' },
    {
      name: 'a token of blanks',
      vars: { ...CONFIGURED, HAPAX_ADMIN_TOKEN_PREVIOUS: ' ' },
      token: ' ',
    },
    { name: 'another token during a rotation', vars: ROTATING, token: 'x' },
    { name: 'both tokens of a rotation at once', vars: ROTATING, token: `${TOKEN}${PREVIOUS}` },
  ])('does not let in with $name', async ({ vars, token }) => {
    const headers = { Authorization: `Bearer ${token}` }
    expect((await open().send('/_hapax/admin/stuck', { headers, vars })).status).toBe(401)
  })

  it.each([
    '/_hapax//admin/stuck',
    '//_hapax/admin/stuck',
    '/_hapax/admin/stuck/',
    '/_hapax/admin//stuck',
    '/_hapax/./admin/stuck',
    '/_hapax/problems/../admin/stuck',
    '/_hapax/%61dmin/stuck',
    '/_hapax/admin/%73tuck',
    '/_hapax/admin%2Fstuck',
    '/_hapax/Admin/stuck',
    '/_hapax/admin;/stuck',
    '/_hapax/admin/stuck?x=/_hapax/problems',
    '/_hapax/admin/%E0%A4%A/stuck',
  ])('is not reached without credentials by the path %s', async (path) => {
    const gateway = open()
    expect((await gateway.send(path, {})).status).toBeOneOf([401, 404])
    expectNothing(gateway)
  })

  it('does the same work for every token, right or wrong', async () => {
    const compared = vi.spyOn(crypto.subtle, 'timingSafeEqual')
    const gateway = open()
    const tokens = [TOKEN, PREVIOUS, 'x', TOKEN.slice(0, -1), TOKEN.repeat(100)]
    const counts: number[] = []
    for (const token of tokens) {
      compared.mockClear()
      const headers = { Authorization: `Bearer ${token}` }
      await gateway.send('/_hapax/admin/openapi.json', { headers, vars: ROTATING })
      counts.push(compared.mock.calls.length)
      // Whatever was sent, what is compared has one length: that of a digest.
      const lengths = compared.mock.calls.flat().map((bytes) => (bytes as ArrayBuffer).byteLength)
      expect(new Set(lengths)).toEqual(new Set([32]))
    }
    expect(counts).toEqual([2, 2, 2, 2, 2])
  })

  it.each([
    { name: 'another site', site: 'cross-site' },
    { name: 'another host of the same site', site: 'same-site' },
    { name: 'nobody knows where', site: '' },
  ])('makes no change for $name, though the credentials are right', async ({ site }) => {
    const gateway = open()
    const headers = { Authorization: `Bearer ${TOKEN}`, 'Sec-Fetch-Site': site }
    for (const { method, path } of REQUESTS) {
      if (method === 'GET' || method === 'HEAD') continue
      const { status } = await gateway.send(`/_hapax/admin${path}`, { method, headers })
      expect({ method, path, status }).toEqual({ method, path, status: 403 })
    }
    expectNothing(gateway)
  })

  it.each([
    { name: 'another site', origin: 'https://evil.test' },
    { name: 'a site that would rather not say', origin: 'null' },
    { name: 'another port of this host', origin: 'https://gateway.test:8443' },
    { name: 'this host without TLS', origin: 'http://gateway.test' },
    { name: 'a host that begins like this one', origin: 'https://gateway.test.evil.test' },
    { name: 'nobody', origin: '' },
  ])('makes no change for $name in a browser without Sec-Fetch-Site', async ({ origin }) => {
    const gateway = open()
    const headers = { Authorization: `Bearer ${TOKEN}`, Origin: origin }
    for (const { method, path } of REQUESTS) {
      if (method === 'GET' || method === 'HEAD') continue
      const { status } = await gateway.send(`/_hapax/admin${path}`, { method, headers })
      expect({ method, path, status }).toEqual({ method, path, status: 403 })
    }
    expectNothing(gateway)
  })

  it.each([
    { name: 'a page of its own', headers: { Origin: 'https://gateway.test' } },
    { name: 'what is no browser', headers: {} },
    {
      name: 'what is no browser, and says that it sends a form',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    },
  ])('takes a change from $name without Sec-Fetch-Site', async ({ headers }) => {
    const path = `/_hapax/admin/operations/${'!'.repeat(43)}`
    const sent = { method: 'DELETE', headers: { Authorization: `Bearer ${TOKEN}`, ...headers } }
    expect((await open().send(path, sent)).status).toBe(404)
  })

  it.each(['same-origin', 'none'])('takes a change from a browser that says %s', async (site) => {
    const headers = { Authorization: `Bearer ${TOKEN}`, 'Sec-Fetch-Site': site }
    const path = `/_hapax/admin/operations/${'!'.repeat(43)}`
    expect((await open().send(path, { method: 'DELETE', headers })).status).toBe(404)
  })

  it('says so as a problem where an operator asks for what there is not', async () => {
    const headers = { Authorization: `Bearer ${TOKEN}` }
    const response = await open().send('/_hapax/admin/unheard-of', { headers })
    expect([response.status, response.headers.get('Content-Type')]).toEqual([
      404,
      'application/problem+json',
    ])
  })

  it('wakes up no object for a name that is no operation', async () => {
    const gateway = open()
    const headers = { Authorization: `Bearer ${TOKEN}` }
    for (const id of ['x', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}.`, '%00']) {
      const path = `/_hapax/admin/operations/${id}`
      expect((await gateway.send(path, { headers })).status).toBe(404)
      expect((await gateway.send(path, { method: 'DELETE', headers })).status).toBe(404)
    }
    expectNothing(gateway)
  })

  it('fails closed, and tells nothing, where its object cannot be reached', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const headers = { Authorization: `Bearer ${TOKEN}` }
    const response = await open().send('/_hapax/admin/stuck', { headers })
    expect(response.status).toBe(503)
    expect(await response.text()).not.toContain('An object was reached.')
  })
})

describe('the admin API of a deployment that has said nothing of its operators', () => {
  it.each([
    { name: 'nothing', vars: { HAPAX_ADMIN_TOKEN: undefined } },
    { name: 'an empty token', vars: { HAPAX_ADMIN_TOKEN: '' } },
    {
      name: 'only the token before',
      vars: { HAPAX_ADMIN_TOKEN: undefined, HAPAX_ADMIN_TOKEN_PREVIOUS: PREVIOUS },
    },
    {
      name: 'only the team of Access',
      vars: { HAPAX_ADMIN_TOKEN: undefined, HAPAX_ACCESS_TEAM: 'team' },
    },
    {
      name: 'only the audience of Access',
      vars: { HAPAX_ADMIN_TOKEN: undefined, HAPAX_ACCESS_AUD: 'aud' },
    },
  ])('is not there, exactly like any other path, with $name', async ({ vars }) => {
    const gateway = open()
    for (const token of [undefined, '', TOKEN, PREVIOUS, 'undefined']) {
      const headers: Record<string, string> =
        token === undefined ? {} : { Authorization: `Bearer ${token}` }
      for (const { method, path } of REQUESTS) {
        const asked = { method, headers, vars: vars as Record<string, string> }
        const here = await read(await gateway.send(`/_hapax/admin${path}`, asked))
        const nowhere = await read(await gateway.send(`/_hapax/nowhere${path}`, asked))
        expect({ path, ...here }).toEqual({ path, ...nowhere })
        expect(here.status).toBe(404)
      }
    }
    expectNothing(gateway)
  })
})

const TEAM = 'a-team'
const AUD = 'audience-of-the-application'
const ISSUER = `https://${TEAM}.cloudflareaccess.com`
const ACCESS = { HAPAX_ACCESS_TEAM: TEAM, HAPAX_ACCESS_AUD: AUD, HAPAX_ADMIN_TOKEN: undefined }

async function makeKey(kid: string) {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048 }
  const pair = (await crypto.subtle.generateKey(
    { ...algorithm, publicExponent: new Uint8Array([1, 0, 1]) },
    true,
    ['sign', 'verify'],
  )) as CryptoKeyPair
  const [secret, open_] = await Promise.all(
    [pair.privateKey, pair.publicKey].map(async (key) => {
      const jwk = (await crypto.subtle.exportKey('jwk', key)) as JsonWebKey
      return { ...jwk, kid, alg: 'RS256' }
    }),
  )
  return { secret: secret as never, public: open_ }
}

type Key = Awaited<ReturnType<typeof makeKey>>

const LETTER: DeadLetter = {
  id: 'letter-of-access',
  from: 'inbox',
  destination: null,
  type: 'work',
  tenant: null,
  operationId: null,
  correlationId: null,
  reason: 'r',
  attempts: 1,
  at: 0,
  bytes: new Uint8Array([0]),
}

const nowSeconds = () => Math.floor(Date.now() / 1_000)
const claimsOf = (over: object = {}) => ({
  aud: [AUD],
  iss: ISSUER,
  email: 'ops@example.com',
  sub: 'a-user',
  iat: nowSeconds() - 10,
  exp: nowSeconds() + 600,
  ...over,
})

/** An answer that never comes. */
function failWith(error: Error): never {
  throw error
}

const part = (value: object) =>
  btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

describe('the admin API behind Cloudflare Access', () => {
  /** The key of the team: to make one takes longer than a test. */
  let ours: Key
  beforeAll(async () => {
    ours = await makeKey('kid-1')
  })

  /** Who comes with an assertion; `certs` answers for the team's keys. */
  async function come(
    make: (key: Key) => Promise<string> | string,
    options: {
      certs?: (keys: unknown) => Response | Promise<Response>
      headers?: Record<string, string>
    } = {},
  ) {
    const assertion = await make(ours)
    const origin = playOrigin(() => {
      const keys = { keys: [ours.public], public_cert: {}, public_certs: [] }
      return options.certs?.(keys) ?? Response.json(keys)
    })
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const response = await clientOf(app, '/_hapax/admin/openapi.json')('-', {
      method: 'GET',
      env: ACCESS,
      headers: { Authorization: '', 'Cf-Access-Jwt-Assertion': assertion, ...options.headers },
    })
    return { response, urls: origin.requests.map(({ url }) => url) }
  }

  it('lets in whom Access has let in, and asks only that team for its keys', async () => {
    const { response, urls } = await come(({ secret }) => sign(claimsOf(), secret, 'RS256'))
    expect(response.status).toBe(200)
    expect(urls).toEqual([`${ISSUER}/cdn-cgi/access/certs`])
  })

  it('names in the audit whom Access has let in, by what it has verified', async () => {
    await directoryOf(env).bury(LETTER)
    playOrigin(() => Response.json({ keys: [ours.public] }))
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const response = await clientOf(app, `/_hapax/admin/dead-letters/${LETTER.id}`)('-', {
      method: 'DELETE',
      env: ACCESS,
      headers: {
        Authorization: '',
        'Cf-Access-Jwt-Assertion': await sign(claimsOf(), ours.secret, 'RS256'),
        'Cf-Access-Authenticated-User-Email': 'root@example.com',
      },
    })
    expect(response.status).toBe(204)
    const [line] = log.mock.calls.map(([text]) => JSON.parse(String(text)) as object)
    expect(line).toMatchObject({
      message: 'audit',
      action: 'dropped',
      actor: 'access:ops@example.com',
    })
  })

  it.each([
    { name: 'one audience that is a string', claims: { aud: AUD } },
    { name: 'further audiences', claims: { aud: ['other', AUD] } },
    {
      name: 'a service token, which has no email',
      claims: { email: undefined, common_name: 'ci.access' },
    },
  ])('lets in with $name', async ({ claims }) => {
    const { response } = await come(({ secret }) => sign(claimsOf(claims), secret, 'RS256'))
    expect(response.status).toBe(200)
  })

  it.each([
    { name: 'another audience', claims: () => ({ aud: ['other'] }) },
    { name: 'no audience', claims: () => ({ aud: undefined }) },
    { name: 'an audience that only begins like it', claims: () => ({ aud: [`${AUD}x`] }) },
    { name: 'another issuer', claims: () => ({ iss: 'https://b-team.cloudflareaccess.com' }) },
    { name: 'no issuer', claims: () => ({ iss: undefined }) },
    { name: 'an issuer with a slash', claims: () => ({ iss: `${ISSUER}/` }) },
    { name: 'an end that has passed', claims: () => ({ exp: nowSeconds() - 1 }) },
    { name: 'no end', claims: () => ({ exp: undefined }) },
    { name: 'an end that is a text', claims: () => ({ exp: '9999999999' }) },
    { name: 'a beginning that is to come', claims: () => ({ nbf: nowSeconds() + 60 }) },
    { name: 'nobody in it', claims: () => ({ email: '', sub: '', common_name: undefined }) },
  ])('does not let in with $name', async ({ claims }) => {
    const { response } = await come(({ secret }) => sign(claimsOf(claims()), secret, 'RS256'))
    expect(response.status).toBe(401)
  })

  it.each([
    {
      name: 'signed with another key of the same name',
      make: async () => sign(claimsOf(), (await makeKey('kid-1')).secret, 'RS256'),
    },
    {
      name: 'signed with a key of another name',
      make: async () => sign(claimsOf(), (await makeKey('kid-2')).secret, 'RS256'),
    },
    {
      name: 'not signed (alg none)',
      make: () => `${part({ alg: 'none', kid: 'kid-1' })}.${part(claimsOf())}.`,
    },
    {
      name: 'not signed, and says RS256',
      make: () => `${part({ alg: 'RS256', kid: 'kid-1' })}.${part(claimsOf())}.`,
    },
    {
      name: 'signed with the public key as a secret (HS256)',
      make: async (key: Key) => {
        const token = await sign(claimsOf(), JSON.stringify(key.public), 'HS256')
        const [, claims, signature] = token.split('.')
        return `${part({ alg: 'HS256', typ: 'JWT', kid: 'kid-1' })}.${claims}.${signature}`
      },
    },
    {
      name: 'signed, and changed since',
      make: async ({ secret }: Key) => {
        const [head, , signature] = (await sign(claimsOf(), secret, 'RS256')).split('.')
        return `${head}.${part(claimsOf({ email: 'root@example.com' }))}.${signature}`
      },
    },
    {
      name: 'with a key of its own in the header',
      make: async () => {
        const theirs = await makeKey('kid-9')
        const token = await sign(claimsOf(), theirs.secret, 'RS256')
        const [, claims, signature] = token.split('.')
        return `${part({ alg: 'RS256', kid: 'kid-9', jwk: theirs.public })}.${claims}.${signature}`
      },
    },
    { name: 'not a JWT', make: () => 'x' },
    { name: 'empty', make: () => '' },
    { name: 'three dots', make: () => '...' },
  ])('does not let in with an assertion that is $name', async ({ make }) => {
    expect((await come(make)).response.status).toBe(401)
  })

  it.each([
    { name: 'do not come', certs: () => new Response('no', { status: 503 }) },
    { name: 'are not known there', certs: () => new Response('no', { status: 404 }) },
    { name: 'are no JSON', certs: () => new Response('<html>') },
    { name: 'are none', certs: () => Response.json({ keys: [] }) },
    { name: 'are not a list', certs: () => Response.json({ keys: {} }) },
    { name: 'are null', certs: () => Response.json(null) },
    {
      name: 'cannot be used',
      certs: () => Response.json({ keys: [{ kid: 'kid-1', kty: 'RSA', n: '!', e: 'AQAB' }] }),
    },
    { name: 'time out', certs: () => failWith(new DOMException('too late', 'TimeoutError')) },
    { name: 'are out of reach', certs: () => failWith(new Error('Network connection lost.')) },
    { name: 'are refused', certs: () => failWith(new TypeError('fetch failed')) },
  ])('asks to try again where the keys of the team $name, and says so once', async ({ certs }) => {
    const faults = vi.spyOn(console, 'error').mockImplementation(() => {})
    let assertion = ''
    const { response } = await come(
      async ({ secret }) => (assertion = await sign(claimsOf(), secret, 'RS256')),
      { certs },
    )
    expect(response.status).toBe(503)
    expect(response.headers.get('Retry-After')).toMatch(/^[1-9]\d*$/)
    expect(response.headers.get('WWW-Authenticate')).toBeNull()
    expect(await response.json()).toMatchObject({
      status: 503,
      detail: expect.stringContaining('Try again') as string,
    })
    expect(faults).toHaveBeenCalledTimes(1)
    const line = String(faults.mock.calls[0]?.[0])
    expect(line).toContain('the keys of Cloudflare Access could not be read')
    for (const part_ of assertion.split('.')) expect(line).not.toContain(part_)
  })

  it.each([
    { name: 'never come', certs: () => new Promise<never>(() => {}) },
    { name: 'never end', certs: () => new Response(new ReadableStream()) },
  ])('asks to try again where the keys of the team $name', async ({ certs }) => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const coming = come(({ secret }) => sign(claimsOf(), secret, 'RS256'), { certs })
    await vi.waitUntil(async () => {
      await vi.advanceTimersByTimeAsync(1_000)
      return vi.getTimerCount() > 0
    })
    await vi.advanceTimersByTimeAsync(6_000)
    expect((await coming).response.status).toBe(503)
  })

  it('needs no keys to see that an assertion is none', async () => {
    const certs = () => failWith(new Error('Network connection lost.'))
    const { response, urls } = await come(() => 'not-a-jwt', { certs })
    expect([response.status, urls]).toEqual([401, []])
  })

  it('lets in who is signed by a key that the cached set does not have yet', async () => {
    vi.useFakeTimers({ now: Date.now() + 60_000, toFake: ['Date'] })
    const old = await makeKey('kid-old')
    let asked = 0
    const { response, urls } = await come(({ secret }) => sign(claimsOf(), secret, 'RS256'), {
      certs: (keys) =>
        asked++ === 0 ? Response.json({ keys: [old.public] }) : Response.json(keys),
    })
    expect([response.status, urls.length]).toEqual([200, 2])
  })

  it('asks past the cache once for many key ids that nobody knows', async () => {
    vi.useFakeTimers({ now: Date.now() + 120_000, toFake: ['Date'] })
    const asked: string[] = []
    vi.spyOn(globalThis, 'fetch').mockImplementation(async (_, init) => {
      asked.push(init?.cache ?? 'cached')
      return Response.json({ keys: [ours.public] })
    })
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const forger = await makeKey('kid-of-nobody')
    for (let nth = 0; nth < 3; nth++) {
      const headers = { 'Cf-Access-Jwt-Assertion': await sign(claimsOf(), forger.secret, 'RS256') }
      const request = new Request('https://gateway.test/_hapax/admin/stuck', { headers })
      expect((await app.fetch(request, { ...env, ...ACCESS })).status).toBe(401)
    }
    expect(asked).toEqual(['cached', 'no-store', 'cached', 'cached'])
  })

  it('does not let in with an assertion where only a token is configured, and asks nobody', async () => {
    const gateway = open()
    const headers = { 'Cf-Access-Jwt-Assertion': await sign(claimsOf(), ours.secret, 'RS256') }
    expect((await gateway.send('/_hapax/admin/stuck', { headers })).status).toBe(401)
    expectNothing(gateway)
  })

  it.each([
    { name: 'the cookie of Access alone', header: 'Cookie', prefix: 'CF_Authorization=' },
    { name: 'the assertion as a bearer token', header: 'Authorization', prefix: 'Bearer ' },
  ])('does not let in with $name', async ({ header, prefix }) => {
    const assertion = await sign(claimsOf(), ours.secret, 'RS256')
    const { response } = await come(() => '', { headers: { [header]: prefix + assertion } })
    expect(response.status).toBe(401)
  })

  /** A change of an operator whom Access has let in; the operation is none, so that it ends there. */
  async function change(headers: Record<string, string>, body: BodyInit | null = null) {
    playOrigin(() => Response.json({ keys: [ours.public] }))
    const assertion = await sign(claimsOf(), ours.secret, 'RS256')
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const url = `https://gateway.test/_hapax/admin/operations/${'!'.repeat(43)}/release`
    const fields = { 'Cf-Access-Jwt-Assertion': assertion, ...headers }
    const request = new Request(url, { method: 'POST', body, headers: fields })
    return (await app.fetch(request, { ...env, ...ACCESS })).status
  }

  it.each([
    { name: 'a form', type: 'application/x-www-form-urlencoded' },
    { name: 'a form with files', type: 'multipart/form-data; boundary=x' },
    { name: 'a form of plain text', type: 'text/plain' },
    { name: 'a form that looks like JSON', type: 'text/plain; x=application/json' },
    { name: 'two types', type: 'text/plain, application/json' },
    { name: 'no type that is one', type: 'json' },
    { name: 'an empty type', type: '' },
  ])('makes no change for what could be $name', async ({ type }) => {
    expect(await change({ 'Content-Type': type }, '{}')).toBe(415)
    expect(await change({ 'Content-Type': type })).toBe(415)
  })

  it('makes no change for a body of no type', async () => {
    const body = new Uint8Array(2)
    expect(await change({ 'Content-Length': '2' }, body)).toBe(415)
  })

  it.each([
    { name: 'without a body', headers: {}, body: null },
    { name: 'with JSON', headers: { 'Content-Type': 'application/json' }, body: '{}' },
    {
      name: 'with JSON, its charset and the page of this deployment',
      headers: {
        'Content-Type': 'application/json; charset=utf-8',
        Origin: 'https://gateway.test',
      },
      body: '{}',
    },
  ])('takes a change $name', async ({ headers, body }) => {
    expect(await change(headers, body)).toBe(404)
  })

  it.each(['https://evil.test', 'null'])('makes no change for a page of %s', async (site) => {
    expect(await change({ 'Content-Type': 'application/json', Origin: site }, '{}')).toBe(403)
  })
})
