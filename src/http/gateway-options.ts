import type { Env, MiddlewareHandler } from 'hono'

import { deployMetrics } from '../config/deployed-metrics.ts'
import { deployOrigins } from '../config/deployed-origins.ts'
import { deployPlacement } from '../config/deployed-placement.ts'
import type { OriginsOptions } from '../config/origins.ts'
import type { PlacementOptions } from '../config/placement.ts'
import { authenticated } from './authenticated.ts'
import type { ErrorHook } from './error-facts.ts'
import type { Any, TenantResolver } from './gateway-env.ts'
import type { ScopeParts } from './request-scope.ts'
import { firstOf } from './tenants.ts'

/** Options of `hapax`. */
export interface HapaxOptions<E extends Env = Any> extends PlacementOptions, OriginsOptions {
  /**
   * Resolves the tenant of a request. Of a list, the first resolver that returns a tenant counts.
   * There is no default, because a shared tenant would replay one party's responses to another.
   */
  readonly tenant: TenantResolver<E> | readonly TenantResolver<E>[]
  /**
   * Verifies the caller before the tenant is resolved, such as `jwt`, `jwk` or Cloudflare Access. It
   * runs on protected routes and on `/_hapax/operations`. A caller that it rejects gets 401. If it
   * fails, for example because it cannot fetch the keys of the issuer, the response is 503.
   */
  readonly authenticate?: MiddlewareHandler<E>
  /** Is told about each error that a handler throws. `docs/handlers.md` describes it. */
  readonly onError?: ErrorHook | undefined
  /** `false`: no data points are written, and the binding `METRICS` is not needed. Default: `true`. */
  readonly metrics?: boolean
}

/** Options of a gateway. */
export interface GatewayOptions<E extends Env = Any> extends HapaxOptions<E> {
  /**
   * A CORS middleware, such as `hono/cors`. It runs before every route of the app, before
   * `/_hapax/operations` and before the problem pages. It does not run for operators' paths.
   */
  readonly cors?: MiddlewareHandler<E>
}

/**
 * Makes the options known to the Worker, and returns those that each request needs.
 *
 * @param name Of the function that the options are given to.
 * @throws {TypeError} When `tenant` is not a function, or the placement or jurisdiction is invalid.
 */
export function readOptions(name: string, options: HapaxOptions): ScopeParts {
  const resolvers = [options?.tenant ?? []].flat()
  if (resolvers.length === 0 || resolvers.some((resolver) => typeof resolver !== 'function')) {
    throw new TypeError(`${name} needs a tenant, such as credential('Authorization').`)
  }
  deployPlacement(options)
  deployOrigins(options)
  deployMetrics(options)
  const identify = authenticated(options.authenticate, firstOf(resolvers))
  return { identify, onError: options.onError, isGateway: name === 'createGateway' }
}
