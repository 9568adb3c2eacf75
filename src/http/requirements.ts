import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import { requireBindings } from '../config/required-bindings.ts'
import { isLoopback } from '../core/request/loopback.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import type { OriginTarget } from '../origin/target.ts'
import { requireSpill } from '../platform/spill.ts'
import { eventsOf, rateLimiterOf, requireSealKey } from './call-plan.ts'
import { isDeployed } from './development.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import type { Place } from './route-policy.ts'

/** The policies whose needs a deployment meets. */
const met = new WeakMap<object, WeakSet<Policy>>()

/**
 * Makes sure that the deployment has everything that a route needs, before anything of its first
 * request is read.
 *
 * @throws {ConfigurationFault} Naming everything that is missing.
 */
export function requireParts(exchange: Pick<Exchange, 'c' | 'policy'>, place: Place): void {
  const { c, policy } = exchange
  const asksOrigin =
    place === 'origin' || policy.reauthorize !== undefined || typeof policy.unknown === 'object'
  if (met.get(c.env)?.has(policy) !== true) {
    requireAll([
      () => requireBindings(c.env),
      () => asksOrigin && requireOrigin(c.env, policy.origin),
      () => policy.snapshot.spill !== undefined && requireSpill(c.env.SNAPSHOTS),
      () => requireSealKey(c, policy),
      () => rateLimiterOf(c, policy),
      () => eventsOf(exchange),
    ])
    met.set(c.env, (met.get(c.env) ?? new WeakSet()).add(policy))
  }
  if (asksOrigin) requireReachable(c, requireOrigin(c.env, policy.origin))
}

/** Makes all checks, and throws one fault for all that fail. */
function requireAll(checks: readonly (() => unknown)[]): void {
  const faults = checks.flatMap((check) => {
    try {
      check()
      return []
    } catch (error) {
      if (error instanceof ConfigurationFault) return error.message
      throw error
    }
  })
  if (faults.length > 0) throw new ConfigurationFault(faults.join(' '))
}

/**
 * Makes sure that the origin of a deployed Worker is not the machine of its developer.
 *
 * @throws {ConfigurationFault} When it is.
 */
export function requireReachable(c: Context<GatewayEnv>, origin: OriginTarget): void {
  if (isLocal(origin.urlOf('/')) && isDeployed(c)) throw new ConfigurationFault(LOCAL_ORIGIN)
}

const LOCAL_ORIGIN =
  'The URL of the origin is that of a developer’s own machine, such as localhost, which a deployed Worker cannot reach. Set ORIGIN_URL, or the variable of the named origin, to the URL of your API.'

/** By the URL of an origin: every request asks for it. */
const known = new Map<string, boolean>()

function isLocal(url: string): boolean {
  const isKnown = known.get(url) ?? isLoopback(new URL(url).hostname)
  known.set(url, isKnown)
  return isKnown
}
