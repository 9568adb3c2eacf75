import type { Context } from 'hono'
import { verifyWithJwks } from 'hono/jwt'

import type { HapaxEnv } from '../config/env.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { bearerOf, matchSecret } from './bearer.ts'

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
  const token = bearerOf(c)
  if (token !== null) return actorOfToken(env, token)
  const assertion = c.req.header('Cf-Access-Jwt-Assertion')
  return assertion !== undefined && hasAccess(env) ? actorOfAccess(env, assertion) : null
}

async function actorOfToken(env: HapaxEnv, token: string): Promise<Actor | null> {
  const secrets = [env.HAPAX_ADMIN_TOKEN, env.HAPAX_ADMIN_TOKEN_PREVIOUS]
  const which = await matchSecret(token, secrets)
  return which === null ? null : (['token', 'token-previous'][which] ?? null)
}

function hasAccess(env: HapaxEnv): boolean {
  return !!env.HAPAX_ACCESS_TEAM && !!env.HAPAX_ACCESS_AUD
}

/** How the team's keys are fetched: a forged assertion must not cost a request to Access each. */
const FETCHING = { cf: { cacheTtlByStatus: { '200-299': 300 } } }
const FETCH_TIMEOUT_MS = 5_000

/** Cloudflare Access: signed by the team's keys, for this very application, and not for ever. */
async function actorOfAccess(env: HapaxEnv, assertion: string): Promise<Actor | null> {
  const issuer = `https://${env.HAPAX_ACCESS_TEAM}.cloudflareaccess.com`
  try {
    const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS)
    const payload = await verifyWithJwks(
      assertion,
      {
        jwks_uri: `${issuer}/cdn-cgi/access/certs`,
        allowedAlgorithms: ['RS256'],
        verification: { iss: issuer, aud: env.HAPAX_ACCESS_AUD ?? '' },
      },
      { ...FETCHING, signal },
    )
    if (payload.exp === undefined) return null
    const names = [payload['email'], payload['common_name'], payload['sub']]
    const name = names.find((one) => typeof one === 'string' && one !== '')
    return name === undefined ? null : `access:${name as string}`
  } catch {
    return null
  }
}
