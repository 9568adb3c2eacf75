import type { Context } from 'hono'
import { verify } from 'hono/jwt'

import type { HapaxEnv } from '../config/env.ts'
import { bearerOf, matchSecret } from '../http/bearer-token.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { findKey } from './access-keys.ts'

/**
 * Who sends a request; `actor` is the name in the audit, never a secret. `unverified`: perhaps an
 * operator, but the keys of Cloudflare Access could not be read.
 */
type Sender =
  | { readonly kind: 'operator'; readonly actor: string }
  | { readonly kind: 'nobody' | 'unverified' }

const NOBODY: Sender = { kind: 'nobody' }

/** Whether a deployment has configured operators. Without them there is no admin API. */
export function hasOperators(env: HapaxEnv): boolean {
  return !!env.HAPAX_ADMIN_TOKEN || hasAccess(env)
}

/** Finds out who sends a request: from a bearer token of the deployment, or the JWT of Cloudflare Access. */
export async function authenticate(c: Context<GatewayEnv>): Promise<Sender> {
  const { env } = c
  const token = bearerOf(c)
  if (token !== null) return senderOfToken(env, token)
  const assertion = c.req.header('Cf-Access-Jwt-Assertion')
  return assertion !== undefined && hasAccess(env) ? senderOfAccess(env, assertion) : NOBODY
}

async function senderOfToken(env: HapaxEnv, token: string): Promise<Sender> {
  const secrets = [env.HAPAX_ADMIN_TOKEN, env.HAPAX_ADMIN_TOKEN_PREVIOUS]
  const which = await matchSecret(token, secrets)
  if (which === null) return NOBODY
  return { kind: 'operator', actor: which === 0 ? 'token' : 'token-previous' }
}

function hasAccess(env: HapaxEnv): boolean {
  return !!env.HAPAX_ACCESS_TEAM && !!env.HAPAX_ACCESS_AUD
}

/** The JWT is signed by the team's keys, for this application, and expires. */
async function senderOfAccess(env: HapaxEnv, assertion: string): Promise<Sender> {
  const issuer = `https://${env.HAPAX_ACCESS_TEAM}.cloudflareaccess.com`
  const key = await findKey(issuer, assertion)
  if (key === 'lost') return { kind: 'unverified' }
  if (key === null) return NOBODY
  try {
    const aud = env.HAPAX_ACCESS_AUD ?? ''
    const payload = await verify(assertion, key, { alg: 'RS256', iss: issuer, aud })
    if (payload.exp === undefined) return NOBODY
    const names = [payload['email'], payload['common_name'], payload['sub']]
    const name = names.find((one): one is string => typeof one === 'string' && one !== '')
    return name === undefined ? NOBODY : { kind: 'operator', actor: `access:${name}` }
  } catch {
    return NOBODY
  }
}
