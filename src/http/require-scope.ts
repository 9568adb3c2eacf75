import type { Context, Next } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import { concludeFault } from './conclude.ts'
import { openExchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { hasScope, NO_SCOPE, openBareScope } from './request-scope.ts'
import { isGuarded } from './route-policy.ts'
import { NOBODY } from './tenants.ts'

type Guard<result> = (c: Context<GatewayEnv>, next: Next) => Promise<result>

/** Lets a guard refuse every request of an app without `hapax`, which would have no tenant. */
export function requireScope<result>(
  policy: Policy,
  guard: Guard<result>,
): Guard<result | Response> {
  return async function requireScope(c, next) {
    if (hasScope(c) || !isGuarded(c, policy)) return guard(c, next)
    openBareScope(c, async () => NOBODY)
    return concludeFault(openExchange(c, policy), new ConfigurationFault(NO_SCOPE))
  }
}
