import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { Correlation } from '../core/correlation.ts'
import type { Digest } from '../core/digest.ts'

/** What the gateway knows of a request before any route looks at it. */
interface RequestScope {
  /** Epoch milliseconds of its arrival. */
  readonly startedAt: number
  readonly correlation: Correlation
  readonly digest: Digest
  readonly tenant: TenantResolver
}

/** The Hono environment of a gateway's app. */
export interface GatewayEnv {
  Bindings: HapaxEnv
  Variables: { hapax: RequestScope }
}

/**
 * Tells the tenant of a request: the party within which its key is unique. It is named in metrics
 * and logs, so it must be no secret.
 *
 * @returns `null` when the tenant cannot be told: the request is then refused.
 */
export type TenantResolver = (
  c: Context<GatewayEnv>,
) => string | null | undefined | Promise<string | null | undefined>
