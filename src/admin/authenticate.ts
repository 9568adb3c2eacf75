import type { Context } from 'hono'
import { verifyWithJwks } from 'hono/jwt'

import type { HapaxEnv } from '../config/env.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'

/** Who an operator is, as the audit names them: never a secret. */
export type Actor = string

/** Whether a deployment has said how its operators are known. Without that there is no admin API. */
export function hasOperators(env: HapaxEnv): boolean {
  return !!env.HAPAX_ADMIN_TOKEN || hasAccess(env)
}

/**
 * Tells which operator sends a request: by a bearer token of the deployment, or by the JWT that
 * Cloudflare Access has put on it.
 *
 * @returns `null` when it is none.
 */
export async function authenticate(c: Context<GatewayEnv>): Promise<Actor | null> {
  const { env } = c
  const [, token] = /^Bearer +(\S+)$/i.exec(c.req.header('Authorization') ?? '') ?? []
  if (token !== undefined) return actorOfToken(env, token)
  const assertion = c.req.header('Cf-Access-Jwt-Assertion')
  return assertion !== undefined && hasAccess(env) ? actorOfAccess(env, assertion) : null
}

async function actorOfToken(env: HapaxEnv, token: string): Promise<Actor | null> {
  const secrets = [env.HAPAX_ADMIN_TOKEN, env.HAPAX_ADMIN_TOKEN_PREVIOUS]
  // All are compared, whichever it is.
  const matches = await Promise.all(
    secrets.map(async (secret) => !!secret && isSame(secret, token)),
  )
  return ['token', 'token-previous'].find((_, index) => matches[index]) ?? null
}

/** Compares in constant time: digests have one length, whatever was sent. */
async function isSame(secret: string, token: string): Promise<boolean> {
  const [one, other] = await Promise.all([secret, token].map(digest))
  return one !== undefined && other !== undefined && crypto.subtle.timingSafeEqual(one, other)
}

const digest = (text: string) => crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))

function hasAccess(env: HapaxEnv): boolean {
  return !!env.HAPAX_ACCESS_TEAM && !!env.HAPAX_ACCESS_AUD
}

/** Cloudflare Access: signed by the team's keys, for this very application. */
async function actorOfAccess(env: HapaxEnv, assertion: string): Promise<Actor | null> {
  const issuer = `https://${env.HAPAX_ACCESS_TEAM}.cloudflareaccess.com`
  try {
    const payload = await verifyWithJwks(assertion, {
      jwks_uri: `${issuer}/cdn-cgi/access/certs`,
      allowedAlgorithms: ['RS256'],
      verification: { iss: issuer, aud: env.HAPAX_ACCESS_AUD ?? '' },
    })
    const names = [payload['email'], payload['common_name'], payload['sub']]
    const name = names.find((one) => typeof one === 'string' && one !== '')
    return name === undefined ? null : `access:${name as string}`
  } catch {
    return null
  }
}
