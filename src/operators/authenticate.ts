import type { Context } from 'hono'
import { verify } from 'hono/jwt'

import type { HapaxEnv } from '../config/env.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { findKey } from './access-keys.ts'
import { bearerOf, matchSecret } from './bearer.ts'

/** Who an operator is, as the audit names them: never a secret. */
type Actor = string

/**
 * Who sends a request. `unverified`: perhaps an operator; nobody can tell for now, since the keys of
 * Cloudflare Access could not be read.
 */
export type Sender = { readonly kind: 'operator'; readonly actor: Actor } | Stranger
type Stranger = { readonly kind: 'nobody' | 'unverified' }

const NOBODY: Stranger = { kind: 'nobody' }

/** Whether a deployment has said how its operators are known. Without that there is no admin API. */
export function hasOperators(env: HapaxEnv): boolean {
  return !!env.HAPAX_ADMIN_TOKEN || hasAccess(env)
}

/**
 * Tells which operator sends a request: by a bearer token of the deployment, or by the JWT that
 * Cloudflare Access has put on it.
 */
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
  const actor = which === null ? undefined : ['token', 'token-previous'][which]
  return actor === undefined ? NOBODY : { kind: 'operator', actor }
}

function hasAccess(env: HapaxEnv): boolean {
  return !!env.HAPAX_ACCESS_TEAM && !!env.HAPAX_ACCESS_AUD
}

/** Cloudflare Access: signed by the team's keys, for this very application, and not for ever. */
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
    const name = names.find((one) => typeof one === 'string' && one !== '')
    return name === undefined ? NOBODY : { kind: 'operator', actor: `access:${name as string}` }
  } catch {
    return NOBODY
  }
}
