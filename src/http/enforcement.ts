import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'
import type { GatewayEnv, Identity } from './gateway-env.ts'
import { scopeOf } from './request-scope.ts'
import { NOBODY } from './tenants.ts'

/** How long it may take to tell whether a tenant is enforced already. */
const ENFORCED_MS = 5_000

/** Whether a request is only observed. A failure of observing must never reach the client. */
export async function isOnlyObserved(c: Context<GatewayEnv>, policy: Policy): Promise<boolean> {
  return policy.mode === 'observe' && !(await isEnforced(c, policy))
}

/** Whether a route that observes enforces already for the tenant of this request; not if that cannot be told in time. */
async function isEnforced(c: Context<GatewayEnv>, { enforce }: Policy): Promise<boolean> {
  if (enforce.percent === 0 && enforce.tenants.length === 0) return false
  try {
    return await inTime(isAmong(c, enforce), ENFORCED_MS)
  } catch (error) {
    logFault('it could not be told whether a tenant is enforced', error)
    return false
  }
}

async function isAmong(
  c: Context<GatewayEnv>,
  { percent, tenants }: Policy['enforce'],
): Promise<boolean> {
  const identity = await identify(c)
  if (identity.kind !== 'known') return false
  const { tenant } = identity
  return tenants.includes(tenant) || (await shareOf(c, tenant)) < percent
}

/** Resolves the tenant of a request that may be observed: a resolver that fails is not the client's problem. */
export async function identify(c: Context<GatewayEnv>): Promise<Identity> {
  try {
    return await scopeOf(c).identify(c)
  } catch (error) {
    logFault('a tenant could not be resolved', error)
    return NOBODY
  }
}

/** A number from 0 to 100 that stays the same for a tenant and is spread evenly among tenants. */
async function shareOf(c: Context<GatewayEnv>, tenant: string): Promise<number> {
  const hash = scopeOf(c).digest('share', tenant)
  const bytes = new TextEncoder().encode(hash.slice(0, 8))
  return (bytes.reduce((sum, byte) => (sum * 31 + byte) % 10_000, 0) * 100) / 10_000
}
