import type { Context } from 'hono'

import type { GatewayEnv, TenantResolver } from './gateway-env.ts'

/** What Hono's jwt and jwk middlewares, and Cloudflare Access, have verified. */
const VERIFIED = ['jwtPayload', 'accessPayload'] as const

/**
 * Tells callers apart by the credential in a header: each value is a tenant of its own, named by
 * its digest. The credential itself is stored and logged nowhere.
 *
 * Whoever gets a new credential gets a new tenant; where those are rotated, resolve the tenant
 * from a claim that stays.
 *
 * @example createGateway({ tenant: credential('Authorization') })
 */
export function credential(header: string): TenantResolver {
  return async function credential(c) {
    const value = c.req.header(header)
    return value ? c.var.hapax.digest('credential', header.toLowerCase(), value) : null
  }
}

/**
 * Tells callers apart by a claim of their token: a new token of the same subject is the same
 * tenant. Only what a middleware has verified counts (`hono/jwt`, `hono/jwk`, Cloudflare Access):
 * give it as `authenticate`, or put it before the routes. The token itself is never read here.
 *
 * The issuer (`iss`) is part of the tenant, since the same subject of another issuer is somebody else.
 *
 * @param name Of a claim that is a string or a number, such as `sub`.
 * @example createGateway({ authenticate: jwk({ jwks_uri, alg: ['RS256'] }), tenant: claim('sub') })
 */
export function claim(name: string): TenantResolver {
  return async function claim(c) {
    const payload = verifiedOf(c)
    const value = toText(payload?.[name])
    if (!value) return null
    return c.var.hapax.digest('claim', toText(payload?.['iss']) ?? '', name, value)
  }
}

/**
 * Tells callers apart by a header that a trusted proxy in front sets, and removes where a client
 * sends it. Where clients can reach the gateway past that proxy, they can be whoever they like.
 *
 * @example createGateway({ tenant: fromHeader('X-Account-Id') })
 */
export function fromHeader(name: string): TenantResolver {
  return async function fromHeader(c) {
    const value = c.req.header(name)
    return value ? c.var.hapax.digest('header', name.toLowerCase(), value) : null
  }
}

/**
 * One tenant for all callers: everybody who knows a key gets its result. Only for what is public
 * anyway; last of a list, for callers without credentials.
 *
 * @example createGateway({ tenant: [credential('Authorization'), anonymous()] })
 */
export function anonymous(): TenantResolver {
  return function anonymous() {
    return 'anonymous'
  }
}

/**
 * Tells callers apart by several things at once, such as account and user; all must be there.
 *
 * @example createGateway({ tenant: combine(claim('org'), claim('sub')) })
 */
export function combine(...resolvers: readonly TenantResolver[]): TenantResolver {
  return async function combine(c) {
    const parts = await Promise.all(resolvers.map(async (resolve) => resolve(c)))
    const known = parts.filter((part) => !!part)
    if (known.length < resolvers.length) return null
    return c.var.hapax.digest('combined', ...known.map(String))
  }
}

/** The first of several that can tell. */
export function firstOf(resolvers: readonly TenantResolver[]): TenantResolver {
  return async function firstOf(c) {
    for (const resolve of resolvers) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const tenant = await resolve(c)
      if (tenant) return tenant
    }
    return null
  }
}

function verifiedOf(c: Context<GatewayEnv>): Record<string, unknown> | undefined {
  const variables = c.var as unknown as Record<string, unknown>
  const payload = VERIFIED.map((name) => variables[name]).find((found) => !!found)
  return typeof payload === 'object' ? (payload as Record<string, unknown>) : undefined
}

function toText(value: unknown): string | null {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null
}
