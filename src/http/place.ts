import type { Context } from 'hono'

import { policyAt, policyNamed } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import type { KeyScope } from '../core/key-source.ts'
import { type GatewayEnv, MESSAGE } from './gateway-env.ts'
import { requestUrlOf } from './request-url.ts'
import { operationOf } from './route-policy.ts'

/**
 * What a key counts within that counts within its operation: the name that the policy has, else method
 * and path. Two paths of one pattern are two places, and an event may be sent to both.
 */
export function placeOf(c: Context<GatewayEnv>, policy: Policy): string {
  const operation = operationOf(c, policy)
  const here = `${c.req.method} ${requestUrlOf(c).path}`
  // What is asked for by requests as well counts for a message as it does for them.
  const asked = policyOfRequests(c, operation)
  if (asked !== undefined) return asked.operation ?? here
  const isOfPath = c.env[MESSAGE]?.routeBy === 'path' || policy.operation === undefined
  return isOfPath ? here : operation
}

/** Within what a key counts; one that a message brings as those of the requests that ask for the same. */
export function scopeOf(c: Context<GatewayEnv>, operation: string, own: KeyScope): KeyScope {
  if (own === 'operation') return own
  // But for business keys, which messages share by bringing the same values.
  return policyOfRequests(c, operation)?.key.find(({ in: at }) => at !== 'business')?.scope ?? own
}

function policyOfRequests(c: Context<GatewayEnv>, operation: string): Policy | undefined {
  const routeBy = c.env[MESSAGE]?.routeBy
  if (routeBy === 'path') return policyAt(c.req.method, requestUrlOf(c).path)
  return routeBy === 'name' ? policyNamed(operation) : undefined
}
