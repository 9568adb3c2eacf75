import { ConfigurationFault } from '../config/configuration-fault.ts'
import { deployedOrigins } from '../config/deployed-origins.ts'
import type { HapaxEnv } from '../config/env.ts'
import { isFunctionOrigin } from '../core/function/function-origin.ts'
import { functionTarget } from './function-origin.ts'
import { namedHasBasePath, namedOrigin } from './named-origin.ts'
import { type OriginTarget, ownHasBasePath, ownOrigin } from './target.ts'

/**
 * Finds an origin.
 *
 * @param name One of the deployment's `origins`; without it, the deployment's own.
 * @returns `null` when the own one is not configured.
 * @throws {ConfigurationFault} When a named one is unknown, or something that it needs is missing.
 */
export function originOf(env: HapaxEnv, name?: string): OriginTarget | null {
  if (name === undefined) return ownOrigin(env)
  return isFunctionOrigin(name) ? functionTarget(env, name) : namedOrigin(env, name)
}

/** Message for a protected route without an origin. */
const NO_ORIGIN =
  'There is no origin: set the variable ORIGIN_URL or a service binding named ORIGIN in wrangler.toml.'

/**
 * Finds an origin where there must be one.
 *
 * @throws {ConfigurationFault} When there is none.
 */
export function requireOrigin(env: HapaxEnv, name?: string): OriginTarget {
  const origin = originOf(env, name)
  if (origin === null) throw new ConfigurationFault(NO_ORIGIN)
  return origin
}

/** Whether an origin has a base path, out of which no request may lead. */
export function hasBasePath(env: HapaxEnv): boolean {
  const named = [...deployedOrigins().values()]
  return ownHasBasePath(env) || named.some((origin) => namedHasBasePath(env, origin))
}
