import { env } from 'cloudflare:workers'
import type { MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { jwk } from 'hono/jwk'
import { jwt, sign } from 'hono/jwt'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import {
  anonymous,
  claim,
  combine,
  cookie,
  createGateway,
  credential,
  fromHeader,
  type GatewayOptions,
  protect,
  type TenantResolver,
} from '../../src/hapax.ts'
import { askerOf, type ProblemBody, refusal } from './ask.ts'
import { word } from './gateway.ts'
import { playOrigin } from './origin.ts'

let log: MockInstance<typeof console.log>
beforeEach(() => {
  vi.spyOn(env.METRICS, 'writeDataPoint')
  log = vi.spyOn(console, 'log').mockImplementation(() => {})
})
afterEach(() => vi.restoreAllMocks())

const SECRET = 'the secret of the issuer, 32 characters'
const ISSUER = 'https://issuer.test'

type Claims = Record<string, string | number>

/** A token as the issuer makes it: valid for an hour, and another one each time. */
const tokenOf = (claims: Claims, secret = SECRET) =>
  sign(
    {
      iss: ISSUER,
      exp: Math.floor(Date.now() / 1_000) + 3_600,
      jti: crypto.randomUUID(),
      ...claims,
    },
    secret,
    'HS256',
  )

const base64Url = (value: unknown) =>
  btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

/** A token that nobody has signed. */
const unsignedOf = (claims: Claims) =>
  `${base64Url({ alg: 'none', typ: 'JWT' })}.${base64Url({ iss: ISSUER, ...claims })}.`

/** A token whose claims were exchanged behind its signature. */
async function forgedOf(claims: Claims): Promise<string> {
  const [head, , signature] = (await tokenOf({ sub: 'somebody else' })).split('.')
  return [head, base64Url({ iss: ISSUER, ...claims }), signature].join('.')
}

/** An answer that never comes. */
function failWith(error: Error): never {
  throw error
}

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })

/** A gateway with one route; its origin answers with how often it was called. */
function gatewayOf(options: GatewayOptions) {
  const origin = playOrigin(() => new Response(String(origin.requests.length), { status: 201 }))
  const app = createGateway(options)
  app.post('/payments', protect())
  const ask = askerOf(app)
  return {
    origin,
    ask,
    pay: (key: string, headers: Record<string, string>) =>
      ask('/payments', {
        body: '{"amount":1}',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key, ...headers },
      }),
  }
}

const points = () => vi.mocked(env.METRICS.writeDataPoint).mock.calls.map(([point]) => point)
/** The id of the operation that was counted last. */
const lastOperationId = () => points().at(-1)?.blobs?.[7] as string
const lastTenant = () => points().at(-1)?.indexes?.[0]
const written = () => JSON.stringify([points(), log.mock.calls])

describe('credential', () => {
  it('tells callers apart by a header of any name', async () => {
    const { origin, pay } = gatewayOf({ tenant: credential('X-API-Key') })
    await pay('credential', { 'X-API-Key': 'a' })
    expect(word(await pay('credential', { 'x-api-key': 'a' }))).toBe('replayed')
    expect(word(await pay('credential', { 'X-API-Key': 'b' }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it.each([
    { name: 'no such header', headers: {} },
    { name: 'an empty one', headers: { 'X-API-Key': '' } },
    { name: 'a credential elsewhere', headers: bearer('a') },
  ])('knows nobody by $name', async ({ headers }) => {
    const { origin, pay } = gatewayOf({ tenant: credential('X-API-Key') })
    const refused = await pay('credential-none', headers)
    expect(refusal(refused)).toEqual([401, 'tenant-missing'])
    expect(refused.headers.get('X-Should-Retry')).toBe('false')
    expect(origin.requests).toHaveLength(0)
  })

  it('keeps the same value in two headers apart', async () => {
    const { origin, pay } = gatewayOf({
      tenant: [credential('X-API-Key'), credential('X-Other-Key')],
    })
    await pay('credential-two', { 'X-API-Key': 'a' })
    expect(word(await pay('credential-two', { 'X-Other-Key': 'a' }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it.each([
    { name: 'blanks', other: 'Bearer \t  abc' },
    { name: 'the case of the scheme', other: 'bEARER abc' },
  ])('does not care about $name', async ({ name, other }) => {
    const { origin, pay } = gatewayOf({ tenant: credential('Authorization') })
    const key = name.replaceAll(' ', '-')
    await pay(key, { Authorization: 'Bearer abc' })
    expect(word(await pay(key, { Authorization: other }))).toBe('replayed')
    expect(word(await pay(key, { Authorization: 'Bearer ABC' }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it.each<{ scheme: string; header?: string; of: (n: number, owner: string) => string }>([
    {
      scheme: 'Digest',
      of: (n, owner) =>
        `Digest username="${owner}", realm="api", nonce="n", uri="/payments", nc=0000000${n}, cnonce="c${n}", response="r${n}"`,
    },
    {
      scheme: 'AWS4-HMAC-SHA256',
      of: (n, owner) =>
        `AWS4-HMAC-SHA256 Credential=${owner}/2026112${n}/eu-central-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature=ab${n}`,
    },
    {
      scheme: 'Signature',
      of: (n, owner) =>
        `Signature keyId="${owner}",created=170000000${n},headers="(created)",signature="c2ln${n}"`,
    },
    {
      scheme: 'HTTP message signatures',
      header: 'Signature-Input',
      of: (n, owner) => `sig1=("@method" "@path");created=170000000${n};keyid="${owner}"`,
    },
    {
      scheme: 'OAuth 1.0',
      of: (n, owner) =>
        `OAuth oauth_consumer_key="${owner}", oauth_token="t", oauth_timestamp="1${n}", oauth_nonce="n${n}", oauth_signature="s${n}"`,
    },
    { scheme: 'Hawk', of: (n, owner) => `Hawk id="${owner}", ts="1${n}", nonce="n", mac="m${n}"` },
    { scheme: 'SharedKey', of: (n, owner) => `SharedKey ${owner}:c2ln${n}=` },
  ])('replays to who signs each request: $scheme', async ({ scheme, header, of }) => {
    const name = header ?? 'Authorization'
    const { origin, pay } = gatewayOf({ tenant: credential(name) })
    const key = `signed-${scheme.replaceAll(' ', '-')}`
    const first = await pay(key, { [name]: of(1, 'owner-1') })
    const again = await pay(key, { [name]: of(2, 'owner-1') })
    const other = await pay(key, { [name]: of(2, 'owner-2') })
    expect([word(first), word(again), word(other)]).toEqual(['executed', 'replayed', 'executed'])
    expect(origin.requests).toHaveLength(2)
    expect(origin.requests[0]?.headers.get(name)).toBe(of(1, 'owner-1'))
  })

  it.each([
    { name: 'Negotiate', value: 'Negotiate bWFya2Vk' },
    { name: 'NTLM', value: 'NTLM bWFya2Vk' },
    { name: 'a list that names nobody', value: 'Marked nonce="bWFya2Vk", mac="bWFya2Vk"' },
  ])('refuses what is made anew for each request, with the remedy: $name', async ({ value }) => {
    const fault = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { origin, pay, ask } = gatewayOf({ tenant: credential('Authorization') })
    const refused = await pay('anew', { Authorization: value })
    const { detail } = await refused.clone().json<ProblemBody>()
    expect(refusal(refused)).toEqual([401, 'tenant-missing'])
    expect(detail).toMatch(/made anew for each request.*authenticate with claim.*fromHeader/)
    await pay('anew', { Authorization: value })
    const asked = await ask('/_hapax/operations/x', {
      method: 'GET',
      headers: { Authorization: value },
    })
    expect(await asked.json<ProblemBody>()).toMatchObject({ detail })
    expect(origin.requests).toHaveLength(0)
    expect(fault).toHaveBeenCalledTimes(1)
    const said = JSON.stringify([detail, fault.mock.calls, log.mock.calls, points()])
    expect(said).not.toMatch(/bWFya2Vk|marked/i)
  })

  it.each([
    { header: 'Cookie', says: "cookie('session')" },
    { header: 'Signature', says: "credential('Signature-Input')" },
    { header: 'DPoP', says: "credential('Authorization')" },
    { header: 'Date', says: 'its value never stays' },
    { header: '', says: 'has a name' },
  ])('does not start with $header', ({ header, says }) => {
    expect(() => credential(header)).toThrow(says)
  })

  it.each([
    { what: 'in another case', make: () => credential('COOKIE') },
    { what: 'as a header of a proxy', make: () => fromHeader('cookie') },
    { what: 'as one of several', make: () => combine(claim('sub'), credential('Cookie')) },
  ])('does not start with all cookies $what', ({ make }) => {
    expect(make).toThrow("cookie('session')")
  })

  it('names the tenant without the credential', async () => {
    const { pay } = gatewayOf({ tenant: credential('Authorization') })
    await pay('credential-named', bearer('marked-credential'))
    await pay('credential-named', bearer('marked-credential'))
    expect(points()).toHaveLength(2)
    expect(lastTenant()).toMatch(/^[\w-]{43}$/)
    expect(written()).not.toMatch(/marked/)
  })
})

describe('cookie', () => {
  it('is one tenant whatever cookies of others change beside it', async () => {
    const { origin, pay } = gatewayOf({ tenant: cookie('session') })
    await pay('analytics', { Cookie: 'session=s1; _ga=1' })
    expect(word(await pay('analytics', { Cookie: 'session=s1; _ga=2' }))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })

  it('tells callers apart by that cookie alone', async () => {
    const { origin, pay } = gatewayOf({ tenant: cookie('session') })
    await pay('cookie', { Cookie: 'theme=dark; session=a' })
    expect(word(await pay('cookie', { Cookie: 'session=a; theme=light' }))).toBe('replayed')
    expect(word(await pay('cookie', { Cookie: 'theme=dark; session=b' }))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it.each([
    { name: 'no cookie', headers: {} },
    { name: 'another cookie', headers: { Cookie: 'theme=dark' } },
    { name: 'an empty one', headers: { Cookie: 'session=' } },
    { name: 'two that differ', headers: { Cookie: 'session=a; session=b' } },
  ])('knows nobody by $name', async ({ headers }) => {
    const { origin, pay } = gatewayOf({ tenant: cookie('session') })
    expect(refusal(await pay('cookie-none', headers))).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('does not start without a name', () => {
    expect(() => cookie('a b')).toThrow(/has a name/)
  })
})

describe('claim', () => {
  const gatewayOfClaims = (tenant: TenantResolver = claim('sub')) =>
    gatewayOf({ tenant, authenticate: jwt({ secret: SECRET, alg: 'HS256' }) })

  it('replays to the same subject with a new token', async () => {
    const { origin, pay } = gatewayOfClaims()
    const [old, rotated] = await Promise.all([tokenOf({ sub: 'ann' }), tokenOf({ sub: 'ann' })])
    expect(old).not.toBe(rotated)
    const first = await pay('rotated', bearer(old))
    const again = await pay('rotated', bearer(rotated))
    expect([word(first), word(again), await again.text()]).toEqual(['executed', 'replayed', '1'])
    expect(origin.requests).toHaveLength(1)
  })

  it('hands the origin the token of the caller', async () => {
    const { origin, pay } = gatewayOfClaims()
    const token = await tokenOf({ sub: 'ann' })
    await pay('handed', bearer(token))
    expect(origin.requests[0]?.headers.get('Authorization')).toBe(`Bearer ${token}`)
  })

  it.each([
    { name: 'another subject', other: { sub: 'bob' } },
    {
      name: 'the same subject of another issuer',
      other: { sub: 'ann', iss: 'https://other.test' },
    },
    { name: 'a subject in another case', other: { sub: 'Ann' } },
  ])('executes for $name with the same key', async ({ name, other }) => {
    const { origin, pay } = gatewayOfClaims()
    await pay(name.replaceAll(' ', '-'), bearer(await tokenOf({ sub: 'ann' })))
    const second = await pay(name.replaceAll(' ', '-'), bearer(await tokenOf(other)))
    expect([word(second), await second.text()]).toEqual(['executed', '2'])
    expect(origin.requests).toHaveLength(2)
  })

  it.each([
    { name: 'unsigned', token: async () => unsignedOf({ sub: 'ann' }) },
    { name: 'forged', token: () => forgedOf({ sub: 'ann' }) },
    { name: 'signed with another secret', token: () => tokenOf({ sub: 'ann' }, 'another secret') },
    { name: 'expired', token: () => tokenOf({ sub: 'ann', exp: 1_000_000_000 }) },
    { name: 'not valid yet', token: () => tokenOf({ sub: 'ann', nbf: 4_000_000_000 }) },
    { name: 'no token at all', token: async () => 'ann' },
  ])('never trusts a token that is $name', async ({ token }) => {
    const { origin, pay } = gatewayOfClaims()
    const key = crypto.randomUUID()
    await pay(key, bearer(await tokenOf({ sub: 'ann' })))
    const refused = await pay(key, bearer(await token()))
    expect(refusal(refused)).toEqual([401, 'tenant-missing'])
    expect([word(refused), refused.headers.get('WWW-Authenticate')]).toEqual(['rejected', 'Bearer'])
    expect(origin.requests).toHaveLength(1)
  })

  it.each([
    { name: 'no token', headers: {} },
    { name: 'another scheme', headers: { Authorization: `Basic ${btoa('ann:secret')}` } },
  ])('refuses $name', async ({ headers }) => {
    const { origin, pay } = gatewayOfClaims()
    expect(refusal(await pay('no-token', headers))).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('refuses a good token without the claim', async () => {
    const { origin, pay } = gatewayOfClaims(claim('org'))
    const refused = await pay('no-claim', bearer(await tokenOf({ sub: 'ann' })))
    expect(refusal(refused)).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('trusts no token that nothing has verified', async () => {
    const { origin, pay } = gatewayOf({ tenant: claim('sub') })
    const refused = await pay('unverified', bearer(await tokenOf({ sub: 'ann' })))
    expect(refusal(refused)).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('keeps one claim apart from another of the same value', async () => {
    const { origin, pay } = gatewayOf({
      tenant: [claim('org'), claim('sub')],
      authenticate: jwt({ secret: SECRET, alg: 'HS256' }),
    })
    await pay('two-claims', bearer(await tokenOf({ org: 'x' })))
    expect(word(await pay('two-claims', bearer(await tokenOf({ sub: 'x' }))))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('reads what jwt has verified as a middleware before the route', async () => {
    const origin = playOrigin(() => new Response('ok', { status: 201 }))
    const app = createGateway({ tenant: claim('sub') })
    app.use('/payments', jwt({ secret: SECRET, alg: 'HS256' }))
    app.post('/payments', protect())
    const ask = askerOf(app)
    const pay = (token: string) =>
      ask('/payments', { headers: { 'Idempotency-Key': 'middleware', ...bearer(token) } })
    await pay(await tokenOf({ sub: 'ann' }))
    expect(word(await pay(await tokenOf({ sub: 'ann' })))).toBe('replayed')
    expect(word(await pay(await tokenOf({ sub: 'bob' })))).toBe('executed')
    expect((await pay(await forgedOf({ sub: 'ann' }))).status).toBe(401)
    expect(origin.requests).toHaveLength(2)
  })

  it('names the tenant without the value of the claim', async () => {
    const { pay } = gatewayOfClaims()
    const claims = { sub: 'marked-subject', iss: 'marked-issuer' }
    await pay('claim-named', bearer(await tokenOf(claims)))
    const first = lastTenant()
    await pay('claim-named', bearer(await tokenOf(claims)))
    expect(lastTenant()).toBe(first)
    expect(first).toMatch(/^[\w-]{43}$/)
    expect(written()).not.toMatch(/marked|eyJ/)
  })

  it('takes an answer of the verification for a refusal', async () => {
    const { origin, pay } = gatewayOf({
      tenant: anonymous(),
      authenticate: async (c) => c.text('not you', 403),
    })
    expect(refusal(await pay('answered', {}))).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('takes for refused whom the verification does not let on', async () => {
    const { origin, pay } = gatewayOf({
      tenant: anonymous(),
      authenticate: async (c) => {
        c.res = c.text('not you', 403)
      },
    })
    const refused = await pay('not-let-on', {})
    expect([refused.status, await refused.text()]).toEqual([403, 'not you'])
    expect(origin.requests).toHaveLength(0)
  })

  it.each([
    { name: 'throws', authenticate: () => failWith(new Error('the key server does not answer')) },
    { name: 'says 502', authenticate: async (c) => c.text('no', 502) },
    { name: 'throws a 503', authenticate: () => failWith(new HTTPException(503)) },
  ] satisfies { name: string; authenticate: MiddlewareHandler }[])(
    'tells nobody that they are nobody where the verification $name, and forwards nothing',
    async ({ authenticate }) => {
      vi.spyOn(console, 'error').mockImplementation(() => {})
      const { origin, ask, pay } = gatewayOf({ tenant: claim('sub'), authenticate })
      const failed = await pay('broken', bearer(await tokenOf({ sub: 'ann' })))
      expect(refusal(failed)).toEqual([503, 'tenant-missing'])
      expect(failed.headers.get('WWW-Authenticate')).toBeNull()
      expect(failed.headers.get('Retry-After')).toMatch(/^[1-9]/)
      expect(failed.headers.get('X-Should-Retry')).toBe('true')
      expect(await failed.json()).toMatchObject({ retryable: true, retry: 'same-key' })
      const looked = await ask(`/_hapax/operations/${'A'.repeat(43)}`, { method: 'GET' })
      expect(refusal(looked)).toEqual([503, 'tenant-missing'])
      expect(origin.requests).toHaveLength(0)
    },
  )

  it.each([
    { name: 'are not there', keys: () => new Response('no', { status: 503 }), status: 503 },
    { name: 'are no JSON', keys: () => new Response('<html>'), status: 503 },
    { name: 'are no list', keys: () => Response.json({}), status: 503 },
    { name: 'are out of reach', keys: () => failWith(new Error('lost')), status: 503 },
    { name: 'are refused', keys: () => failWith(new TypeError('fetch failed')), status: 503 },
    { name: 'time out', keys: () => failWith(new DOMException('', 'TimeoutError')), status: 503 },
    { name: 'do not have that of the token', keys: () => Response.json({ keys: [] }), status: 401 },
  ])('says $status where the keys of the issuer $name', async ({ keys, status }) => {
    const faults = vi.spyOn(console, 'error').mockImplementation(() => {})
    const authenticate = jwk({ jwks_uri: `${ISSUER}/keys`, alg: ['RS256'] })
    const { pay } = gatewayOf({ tenant: claim('sub'), authenticate })
    playOrigin(keys)
    const token = `${base64Url({ alg: 'RS256', kid: 'a', typ: 'JWT' })}.${base64Url({ sub: 'ann' })}.AAAA`
    expect(refusal(await pay('no-keys', bearer(token)))).toEqual([status, 'tenant-missing'])
    expect(faults).toHaveBeenCalledTimes(status === 503 ? 1 : 0)
    expect(JSON.stringify(faults.mock.calls)).not.toContain(token)
  })

  it('says 401 where the token names a key for another algorithm than its own', async () => {
    const pair = (await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
      'sign',
      'verify',
    ])) as CryptoKeyPair
    const key = {
      ...((await crypto.subtle.exportKey('jwk', pair.publicKey)) as JsonWebKey),
      kid: 'a',
    }
    const authenticate = jwk({ keys: [key], alg: ['RS256', 'ES256'] })
    const { pay } = gatewayOf({ tenant: claim('sub'), authenticate })
    const token = `${base64Url({ alg: 'RS256', kid: 'a', typ: 'JWT' })}.${base64Url({ sub: 'ann' })}.AAAA`
    expect(refusal(await pay('confused', bearer(token)))).toEqual([401, 'tenant-missing'])
  })

  it('says 503 where the verification does not end', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const authenticate = () => new Promise<never>(() => {})
    const { pay } = gatewayOf({ tenant: claim('sub'), authenticate })
    const paying = pay('endless', bearer('x'))
    await vi.advanceTimersByTimeAsync(11_000)
    vi.useRealTimers()
    expect(refusal(await paying)).toEqual([503, 'tenant-missing'])
  })

  it('lets in nobody whose credentials the verification refuses for a reason of its own', async () => {
    const cause = new Error('not on the list')
    const authenticate = () => failWith(new HTTPException(403, { cause }))
    const { pay } = gatewayOf({ tenant: claim('sub'), authenticate })
    expect(refusal(await pay('refused', bearer('x')))).toEqual([401, 'tenant-missing'])
  })
})

describe('/_hapax/operations/{id} under claim', () => {
  /** The path of an operation that somebody has begun, and a client that asks for it. */
  async function operationOf(sub: string) {
    const { ask, pay } = gatewayOf({
      tenant: claim('sub'),
      authenticate: jwt({ secret: SECRET, alg: 'HS256' }),
    })
    await pay(`asked-${sub}`, bearer(await tokenOf({ sub })))
    const operationId = lastOperationId()
    const get = (headers: Record<string, string>, path = '') =>
      ask(`/_hapax/operations/${operationId}${path}`, { method: 'GET', headers })
    return { get }
  }

  it('shows the subject its operation, whatever its token', async () => {
    const { get } = await operationOf('carol')
    const view = await get(bearer(await tokenOf({ sub: 'carol' })))
    expect([view.status, await view.json()]).toEqual([
      200,
      expect.objectContaining({ state: 'succeeded', operation: 'POST /payments' }),
    ])
    const result = await get(bearer(await tokenOf({ sub: 'carol' })), '/result')
    expect([result.status, await result.text()]).toEqual([201, '1'])
  })

  it.each(['', '/result'])('shows %j to nobody else', async (path) => {
    const { get } = await operationOf(`dave${path.slice(1)}`)
    const sub = `dave${path.slice(1)}`
    const others = [
      { headers: bearer(await tokenOf({ sub: 'eve' })), expected: [404, 'operation-not-found'] },
      {
        headers: bearer(await tokenOf({ sub, iss: 'https://other.test' })),
        expected: [404, 'operation-not-found'],
      },
      { headers: bearer(await forgedOf({ sub })), expected: [401, 'tenant-missing'] },
      { headers: bearer(unsignedOf({ sub })), expected: [401, 'tenant-missing'] },
      { headers: {}, expected: [401, 'tenant-missing'] },
    ]
    for (const { headers, expected } of others) {
      expect(refusal(await get(headers, path))).toEqual(expected)
    }
  })
})

describe('/_hapax/operations/{id} behind jwt as a middleware', () => {
  it('shows nothing: its routes come before what is added to the app, so it needs authenticate', async () => {
    playOrigin(() => new Response('ok', { status: 201 }))
    const app = createGateway({ tenant: claim('sub') })
    app.use(jwt({ secret: SECRET, alg: 'HS256' }))
    app.post('/payments', protect())
    const ask = askerOf(app)
    const headers = bearer(await tokenOf({ sub: 'ann' }))
    await ask('/payments', { headers: { 'Idempotency-Key': 'behind', ...headers } })
    const operationId = lastOperationId()
    const view = await ask(`/_hapax/operations/${operationId}`, { method: 'GET', headers })
    expect(refusal(view)).toEqual([401, 'tenant-missing'])
  })
})

describe('fromHeader', () => {
  it('tells callers apart by what the proxy says, not by their credentials', async () => {
    const { origin, pay } = gatewayOf({ tenant: fromHeader('X-Account-Id') })
    await pay('proxied', { 'X-Account-Id': 'acme', ...bearer('a') })
    expect(word(await pay('proxied', { 'X-Account-Id': 'acme', ...bearer('b') }))).toBe('replayed')
    expect(word(await pay('proxied', { 'X-Account-Id': 'other', ...bearer('a') }))).toBe('executed')
    expect(refusal(await pay('proxied', bearer('a')))).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(2)
  })

  it('is no credential of the same value', async () => {
    const { origin, pay } = gatewayOf({ tenant: fromHeader('X-Same') })
    await pay('same-value', { 'X-Same': 'x' })
    const other = gatewayOf({ tenant: credential('X-Same') })
    expect(word(await other.pay('same-value', { 'X-Same': 'x' }))).toBe('executed')
    expect([origin.requests.length, other.origin.requests.length]).toEqual([1, 1])
  })
})

describe('combine', () => {
  const tenant = combine(fromHeader('X-Account-Id'), credential('Authorization'))

  it('is one tenant for the same account and user, another for every other pair', async () => {
    const { origin, pay } = gatewayOf({ tenant })
    await pay('combined', { 'X-Account-Id': 'acme', ...bearer('ann') })
    expect(word(await pay('combined', { 'X-Account-Id': 'acme', ...bearer('ann') }))).toBe(
      'replayed',
    )
    expect(word(await pay('combined', { 'X-Account-Id': 'acme', ...bearer('bob') }))).toBe(
      'executed',
    )
    expect(word(await pay('combined', { 'X-Account-Id': 'other', ...bearer('ann') }))).toBe(
      'executed',
    )
    expect(origin.requests).toHaveLength(3)
  })

  it.each([
    { name: 'the account', headers: bearer('ann') },
    { name: 'the user', headers: { 'X-Account-Id': 'acme' } },
    { name: 'both', headers: {} },
  ])('knows nobody without $name', async ({ headers }) => {
    const { origin, pay } = gatewayOf({ tenant })
    expect(refusal(await pay('combined-part', headers))).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })

  it('does not let letters move from one part to the next', async () => {
    const { pay } = gatewayOf({
      tenant: combine(
        (c) => c.req.header('X-A'),
        (c) => c.req.header('X-B'),
      ),
    })
    await pay('moved', { 'X-A': 'ab', 'X-B': 'c' })
    expect(word(await pay('moved', { 'X-A': 'a', 'X-B': 'bc' }))).toBe('executed')
  })
})

describe('a list of resolvers', () => {
  const tenant = [credential('Authorization'), anonymous()]

  it('asks anonymous last: who has credentials is a tenant of its own', async () => {
    const { origin, pay } = gatewayOf({ tenant })
    await pay('listed', {})
    expect(word(await pay('listed', {}))).toBe('replayed')
    expect(word(await pay('listed', bearer('a')))).toBe('executed')
    expect(word(await pay('listed', bearer('a')))).toBe('replayed')
    expect(origin.requests).toHaveLength(2)
  })

  it('takes nobody for anonymous who has credentials, and asks the others', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const { origin, pay } = gatewayOf({
      tenant: [credential('Authorization'), fromHeader('X-Account-Id'), anonymous()],
    })
    const headers = { Authorization: 'Negotiate YII=' }
    expect(refusal(await pay('negotiated', headers))).toEqual([401, 'tenant-missing'])
    expect(word(await pay('negotiated', { ...headers, 'X-Account-Id': 'a' }))).toBe('executed')
    expect(word(await pay('negotiated', {}))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('does not take whom `authenticate` has refused for anonymous', async () => {
    const { origin, pay } = gatewayOf({
      tenant: [claim('sub'), anonymous()],
      authenticate: jwt({ secret: SECRET, alg: 'HS256' }),
    })
    expect(refusal(await pay('refused', bearer(await forgedOf({ sub: 'ann' }))))).toEqual([
      401,
      'tenant-missing',
    ])
    expect(origin.requests).toHaveLength(0)
  })
})

describe('a resolver of one’s own', () => {
  it.each<{ name: string; resolver: TenantResolver }>([
    { name: 'null', resolver: () => null },
    { name: 'undefined', resolver: (c) => c.req.header('X-None') },
    { name: 'an empty text', resolver: () => '' },
    { name: 'a promise of null', resolver: async () => null },
  ])('that answers $name knows nobody', async ({ resolver }) => {
    const { origin, pay } = gatewayOf({ tenant: resolver })
    expect(refusal(await pay('own', bearer('a')))).toEqual([401, 'tenant-missing'])
    expect(origin.requests).toHaveLength(0)
  })
})

describe('createGateway', () => {
  it.each([
    { name: 'nothing', options: undefined },
    { name: 'no tenant', options: {} },
    { name: 'an empty list', options: { tenant: [] } },
    { name: 'a name for a resolver', options: { tenant: 'acme' } },
    { name: 'a list with something else in it', options: { tenant: [anonymous(), null] } },
  ])('does not start with $name', ({ options }) => {
    expect(() => createGateway(options as unknown as GatewayOptions)).toThrow(
      /needs a tenant, such as credential\('Authorization'\)/,
    )
  })
})

describe('limits.rate', () => {
  /**
   * A gateway whose binding has the objects count here.
   *
   * @returns Keys that were counted, without the tenant of each request.
   */
  function limitedOf(options: GatewayOptions) {
    const origin = playOrigin(() => new Response('ok', { status: 201 }))
    const counted: string[] = []
    const app = createGateway(options)
    app.post('/payments', protect({ limits: { rate: true } }))
    const ask = askerOf(app)
    async function pay(key: string, headers: Record<string, string>) {
      const limit = vi.spyOn(env.RATE_LIMITER, 'limit')
      limit.mockImplementation(async (asked: RateLimitOptions) => {
        counted.push(asked.key)
        return { success: true }
      })
      await ask('/payments', { headers: { 'Idempotency-Key': key, ...headers } })
      return lastTenant() as string
    }
    return { origin, counted, pay }
  }

  const VERIFIED = jwt({ secret: SECRET, alg: 'HS256' })
  it.each<{
    name: string
    options: GatewayOptions
    headers: () => Promise<Record<string, string>>
  }>([
    {
      name: 'claim',
      options: { tenant: claim('sub'), authenticate: VERIFIED },
      headers: async () => bearer(await tokenOf({ sub: 'ann' })),
    },
    {
      name: 'credential behind authenticate',
      options: { tenant: credential('Authorization'), authenticate: VERIFIED },
      headers: async () => bearer(await tokenOf({ sub: 'ann' })),
    },
    {
      name: 'fromHeader',
      options: { tenant: fromHeader('X-Account-Id') },
      headers: async () => ({ 'X-Account-Id': 'a' }),
    },
    {
      name: 'a resolver of one’s own',
      options: { tenant: (c) => c.req.header('X-Own') },
      headers: async () => ({ 'X-Own': 'a' }),
    },
    {
      name: 'a pair of which one is verified',
      options: { tenant: combine(credential('Authorization'), fromHeader('X-Account-Id')) },
      headers: async () => ({ ...bearer('a'), 'X-Account-Id': 'a' }),
    },
  ])('counts who is verified by the tenant alone: $name', async ({ name, options, headers }) => {
    const { counted, pay } = limitedOf(options)
    const tenant = await pay(`verified-${name.length}`, await headers())
    expect(counted).toEqual([tenant])
  })

  it.each<{ name: string; tenant: GatewayOptions['tenant']; headers: Record<string, string> }>([
    { name: 'credential', tenant: credential('Authorization'), headers: bearer('a') },
    { name: 'cookie', tenant: cookie('session'), headers: { Cookie: 'session=a' } },
    { name: 'anonymous', tenant: anonymous(), headers: {} },
    {
      name: 'a list whose first cannot tell',
      tenant: [fromHeader('X-Account-Id'), anonymous()],
      headers: {},
    },
    {
      name: 'a pair that nobody has verified',
      tenant: combine(credential('Authorization'), cookie('session')),
      headers: { ...bearer('a'), Cookie: 'session=a' },
    },
  ])('counts by where it comes from as well: $name', async ({ name, tenant, headers }) => {
    const { counted, pay } = limitedOf({ tenant })
    const payFrom = (address: string | null, nth: number) =>
      pay(`unverified-${name.length}-${nth}`, {
        ...headers,
        ...(address === null ? {} : { 'CF-Connecting-IP': address }),
      })
    const addresses = ['2001:db8:1:2::1', '2001:db8:1:2:3::', '2001:db8:1:3::1', null, null]
    for (const [nth, address] of addresses.entries()) {
      const named = await payFrom(address, nth)
      expect(counted.splice(counted.indexOf(named), 1)).toEqual([named])
    }
    const [first, same, other, none, noneAgain, ...more] = counted
    expect([same, noneAgain, more]).toEqual([first, none, []])
    expect(new Set([first, other, none]).size).toBe(3)
    for (const key of counted) expect(key).toMatch(/^[\w-]{43}$/)
  })

  it.each(['tenant', 'address'])('refuses where one of the two is over: the %s', async (over) => {
    const origin = playOrigin(() => new Response('ok', { status: 201 }))
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect({ limits: { rate: true } }))
    const ask = askerOf(app)
    const pay = () =>
      ask('/payments', { headers: { 'Idempotency-Key': `over-${over}`, ...bearer('over') } })
    let calls = 0
    const limit = vi.spyOn(env.RATE_LIMITER, 'limit')
    limit.mockImplementation(async () => {
      calls += 1
      return { success: over === 'tenant' && calls === 1 }
    })
    const refused = await pay()
    expect(refusal(refused)).toEqual([429, 'rate-limited'])
    // Whoever is over by address uses up nothing of the tenant that it names.
    expect(calls).toBe(over === 'tenant' ? 2 : 1)
    limit.mockImplementation(async () => ({ success: true }))
    expect(word(await pay())).toBe('executed')
    limit.mockImplementation(async () => ({ success: false }))
    expect(word(await pay())).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })
})
