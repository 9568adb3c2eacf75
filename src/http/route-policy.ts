import type { Context, Handler } from 'hono'
import { routePath } from 'hono/route'
import { findTargetHandler } from 'hono/utils/handler'

import { parsePolicy, type Policy, type PolicyOptions } from '../config/policy.ts'
import { batchOf } from '../core/key-source.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** Where the work of a route is done: at the origin, or by a handler in the Worker. */
type Place = 'origin' | 'worker'

/** What a handler guards a route with. */
interface Guarding {
  readonly policy: Policy
  readonly place: Place
}

const guardings = new WeakMap<object, Guarding>()

/** Wrong fields of policies, by the handler that was made with them. */
const faultsByHandler = new Map<object, readonly string[]>()

/**
 * Makes a handler with a policy. A bad policy makes one that always throws and is found by
 * `checkPolicies`: only there is it known which route the handler stands at.
 */
export function withPolicy<handler extends (...args: never[]) => unknown>(
  options: PolicyOptions,
  place: Place,
  create: (policy: Policy) => handler,
): handler {
  const parsed = parsePolicy(options)
  const faults = parsed.ok ? faultsAt(place, parsed.value) : parsed.error
  if (parsed.ok && faults.length === 0) {
    const handler = create(parsed.value)
    guardings.set(handler, { policy: parsed.value, place })
    return handler
  }
  const faulty = (() => {
    throw new Error(toMessage('this route', faults))
  }) as unknown as handler
  faultsByHandler.set(faulty, faults)
  return faulty
}

/** What no policy can ask for there. */
function faultsAt(place: Place, { key }: Policy): readonly string[] {
  if (place === 'origin' || batchOf(key) === null) return []
  return ['key: batch() is for protect(); a handler in the Worker gets its request once']
}

/** A route of an app. */
export interface Route {
  readonly method: string
  readonly path: string
  readonly handler: object
}

/** A route that is guarded, and with what. */
export interface GuardedRoute extends Guarding {
  readonly method: string
  readonly path: string
}

/** Every route of an app that is guarded. */
export function guardedRoutes(routes: readonly Route[]): GuardedRoute[] {
  return routes.flatMap(({ method, path, handler }) => {
    // An app inside the app that handles its own errors wraps its handlers.
    const guarding = guardings.get(findTargetHandler(handler as Handler))
    return guarding === undefined ? [] : [{ method, path, ...guarding }]
  })
}

/** @throws {Error} Naming every route with a bad policy, and every wrong field of it. */
export function checkPolicies(routes: readonly Route[]): void {
  const faults = routes.flatMap(({ method, path, handler }) => {
    const wrong = faultsByHandler.get(handler)
    if (wrong !== undefined) return [toMessage(`${method} ${path}`, wrong)]
    return method === 'HEAD' && guardings.has(handler) ? [unreachable(path)] : []
  })
  // A route of an app inside the app may hide its handler.
  const found = new Set<object>(routes.map(({ handler }) => handler))
  const hidden = [...faultsByHandler].filter(([handler]) => !found.has(handler))
  const all = [...faults, ...hidden.map(([, wrong]) => toMessage('a route', wrong))]
  faultsByHandler.clear()
  if (all.length > 0) throw new Error(all.join('\n'))
}

function unreachable(path: string): string {
  return `HEAD ${path} would never be protected: Hono answers HEAD with the routes of GET. Use app.get or app.all.`
}

/** Name of the operation: the policy's, else method and route pattern. */
export function operationOf(c: Context<GatewayEnv>, policy: Policy): string {
  return policy.operation ?? `${c.req.method} ${routePath(c)}`
}

function toMessage(route: string, faults: readonly string[]): string {
  return [`The policy of ${route} is not valid:`, ...faults.map((fault) => `  ${fault}`)].join('\n')
}
