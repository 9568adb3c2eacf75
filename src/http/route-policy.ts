import type { Context } from 'hono'
import { routePath } from 'hono/route'

import { parsePolicy, type Policy, type PolicyOptions } from '../config/policy.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** Wrong fields of policies, by the handler that was made with them. */
const faultsByHandler = new WeakMap<object, readonly string[]>()

/**
 * Makes a handler with a policy. A bad policy makes one that always throws and is found by
 * `checkPolicies`: only there is it known which route the handler stands at.
 */
export function withPolicy<handler extends (...args: never[]) => unknown>(
  options: PolicyOptions,
  create: (policy: Policy) => handler,
): handler {
  const parsed = parsePolicy(options)
  if (parsed.ok) return create(parsed.value)
  const faulty = (() => {
    throw new Error(toMessage('this route', parsed.error))
  }) as unknown as handler
  faultsByHandler.set(faulty, parsed.error)
  return faulty
}

/** @throws {Error} Naming every route with a bad policy, and every wrong field of it. */
export function checkPolicies(
  routes: readonly { readonly method: string; readonly path: string; readonly handler: object }[],
): void {
  const faults = routes.flatMap(({ method, path, handler }) => {
    const wrong = faultsByHandler.get(handler)
    return wrong === undefined ? [] : [toMessage(`${method} ${path}`, wrong)]
  })
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

/** Name of the operation: the policy's, else method and route pattern. */
export function operationOf(c: Context<GatewayEnv>, policy: Policy): string {
  return policy.operation ?? `${c.req.method} ${routePath(c)}`
}

function toMessage(route: string, faults: readonly string[]): string {
  return [`The policy of ${route} is not valid:`, ...faults.map((fault) => `  ${fault}`)].join('\n')
}
