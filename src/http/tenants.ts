import type { Context } from 'hono'

import { explainHeader, readCookie, readCredential } from '../core/request/credential.ts'
import { logFault } from '../metrics/log.ts'
import type { GatewayEnv, Identify, Identity, TenantResolver } from './gateway-env.ts'
import { scopeOf } from './request-scope.ts'

/** A request without a tenant. */
export const NOBODY: Identity = { kind: 'nobody' }

/** Variables with claims that Hono's jwt and jwk middlewares, and Cloudflare Access, have verified. */
const VERIFIED = ['jwtPayload', 'accessPayload'] as const

/** Minimum time between two log lines about unusable credentials, in milliseconds. */
const TELL_AGAIN_MS = 60_000

/**
 * Identifies tenants by the credential in a header. The tenant is a digest of the credential, which
 * is neither stored nor logged. The gateway does not verify it.
 *
 * Schemes are recognized: if a scheme signs each request (Digest, AWS, HTTP signatures), the part
 * that names the owner of the key counts. A scheme without a constant part (Negotiate) is rejected.
 * A new credential is a new tenant. If credentials rotate, use `claim` instead.
 *
 * @throws {TypeError} For a header whose value is different in each request, and for `Cookie`.
 * @example createGateway({ tenant: credential('Authorization') })
 */
export function credential(header: string): TenantResolver {
  requireName(header)
  const objection = explainHeader(header)
  if (objection !== null) throw new TypeError(objection)
  let toldAt = 0
  return createResolver(async function credential(c) {
    const value = c.req.header(header)
    const read = readCredential(header, value ?? '')
    if (read.ok) {
      const { value: parts } = read
      if (parts === null) return NOBODY
      const tenant = scopeOf(c).digest('credential', header.toLowerCase(), ...parts)
      return { kind: 'known', tenant, isVerified: false }
    }
    if (Date.now() - toldAt >= TELL_AGAIN_MS) {
      toldAt = Date.now()
      logFault(`callers cannot be told apart by ${header}`, new Error(read.error))
    }
    return { kind: 'refused', detail: read.error }
  })
}

/**
 * Identifies tenants by one cookie, such as a session cookie. The gateway does not verify it. A
 * request with two different cookies of this name has no tenant.
 *
 * @throws {TypeError} If the name is not a valid cookie name.
 * @example createGateway({ tenant: cookie('session') })
 */
export function cookie(name: string): TenantResolver {
  requireName(name)
  return createResolver(async function cookie(c) {
    const value = readCookie(c.req.header('Cookie') ?? '', name)
    if (value === null) return NOBODY
    const tenant = scopeOf(c).digest('cookie', name, value)
    return { kind: 'known', tenant, isVerified: false }
  })
}

/** Names of headers and cookies are tokens (RFC 9110 §5.6.2). */
function requireName(name: string): void {
  if (typeof name === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(name)) return
  throw new TypeError("A header or cookie has a name, such as credential('Authorization').")
}

/**
 * Identifies tenants by a claim of their token. A new token with the same claim is the same tenant.
 * Only claims that a middleware has verified count (`hono/jwt`, `hono/jwk`, Cloudflare Access). Pass
 * the middleware as `authenticate`, or register it before the routes.
 *
 * The issuer (`iss`) is part of the tenant, because another issuer may use the same subject.
 *
 * @param name Name of a claim that is a string or a number, such as `sub`.
 * @example createGateway({ authenticate: jwk({ jwks_uri, alg: ['RS256'] }), tenant: claim('sub') })
 */
export function claim(name: string): TenantResolver {
  return createResolver(async function claim(c) {
    const payload = verifiedOf(c)
    const value = toText(payload?.[name])
    if (!value) return NOBODY
    const tenant = scopeOf(c).digest('claim', toText(payload?.['iss']) ?? '', name, value)
    return { kind: 'known', tenant, isVerified: true }
  })
}

/**
 * Identifies tenants by a header that a trusted proxy sets, and removes from client requests. If
 * clients can bypass the proxy, they can choose any tenant.
 *
 * @throws {TypeError} For a header whose value is different in each request, and for `Cookie`.
 * @example createGateway({ tenant: fromHeader('X-Account-Id') })
 */
export function fromHeader(name: string): TenantResolver {
  requireName(name)
  const objection = explainHeader(name, 'fromHeader')
  if (objection !== null) throw new TypeError(objection)
  return createResolver(async function fromHeader(c) {
    const value = c.req.header(name)
    if (!value) return NOBODY
    const tenant = scopeOf(c).digest('header', name.toLowerCase(), value)
    return { kind: 'known', tenant, isVerified: true }
  })
}

/**
 * Uses one tenant for all callers: anyone who knows a key can read its result. Use it only for public
 * data, or as the last one of a list for callers without credentials.
 *
 * @example createGateway({ tenant: [credential('Authorization'), anonymous()] })
 */
export function anonymous(): TenantResolver {
  return createResolver(async function anonymous() {
    return { kind: 'known', tenant: ANYBODY, isVerified: false }
  })
}

const ANYBODY = 'anonymous'

/**
 * Combines several resolvers, such as account and user. All parts must be present. The tenant is
 * verified if one of its parts is.
 *
 * @example createGateway({ tenant: combine(claim('org'), claim('sub')) })
 */
export function combine(...resolvers: readonly TenantResolver[]): TenantResolver {
  return createResolver(async function combine(c) {
    const parts = await Promise.all(resolvers.map(async (resolve) => identifyBy(resolve, c)))
    const refused = parts.find(({ kind }) => kind === 'refused')
    if (refused !== undefined) return refused
    const told = parts.filter((part) => part.kind === 'known')
    if (told.length < resolvers.length) return NOBODY
    const tenant = scopeOf(c).digest('combined', ...told.map((part) => part.tenant))
    return { kind: 'known', tenant, isVerified: told.some(({ isVerified }) => isVerified) }
  })
}

/**
 * Asks several resolvers: the first that returns a tenant counts. A caller whose credentials one of
 * them refuses does not become `anonymous`.
 */
export function firstOf(resolvers: readonly TenantResolver[]): Identify {
  return async function firstOf(c) {
    let last: Identity = NOBODY
    for (const resolve of resolvers) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const identity = await identifyBy(resolve, c)
      const isAnybody = identity.kind === 'known' && identity.tenant === ANYBODY
      if (identity.kind === 'known' && !(isAnybody && last.kind === 'refused')) return identity
      if (identity.kind === 'refused') last = identity
    }
    return last
  }
}

const identifiers = new WeakMap<TenantResolver, Identify>()

/** Makes a resolver that tells `identifyBy` more than the tenant. */
function createResolver(identify: Identify): TenantResolver {
  const resolve: TenantResolver = async (c) => {
    const identity = await identify(c)
    return identity.kind === 'known' ? identity.tenant : null
  }
  identifiers.set(resolve, identify)
  return resolve
}

/** Asks a resolver. The deployer's own function is trusted to verify the caller. */
async function identifyBy(resolve: TenantResolver, c: Context<GatewayEnv>): Promise<Identity> {
  const identify = identifiers.get(resolve)
  if (identify !== undefined) return identify(c)
  const tenant = await resolve(c)
  return tenant ? { kind: 'known', tenant, isVerified: true } : NOBODY
}

function verifiedOf(c: Context<GatewayEnv>): Record<string, unknown> | undefined {
  const variables = c.var as unknown as Record<string, unknown>
  const payload = VERIFIED.map((name) => variables[name]).find((found) => !!found)
  return typeof payload === 'object' ? (payload as Record<string, unknown>) : undefined
}

function toText(value: unknown): string | null {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null
}
