import type { Context, Handler } from 'hono'
import { matchedRoutes, routePath } from 'hono/route'
import { findTargetHandler } from 'hono/utils/handler'

import { parsePolicy, type Policy, type PolicyOptions } from '../config/policy.ts'
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
  if (parsed.ok) {
    const handler = create(parsed.value)
    guardings.set(handler, { policy: parsed.value, place })
    return handler
  }
  const faulty = (() => {
    throw new Error(toMessage('this route', parsed.error))
  }) as unknown as handler
  faultsByHandler.set(faulty, parsed.error)
  return faulty
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
  for (const { method, path, policy } of guardedRoutes(routes)) {
    const wrong = faultsAt({ method, path }, policy)
    if (wrong.length > 0) faults.push(toMessage(`${method} ${path}`, wrong))
  }
  // A route of an app inside the app may hide its handler.
  const found = new Set<object>(routes.map(({ handler }) => handler))
  const hidden = [...faultsByHandler].filter(([handler]) => !found.has(handler))
  const all = [...faults, ...hidden.map(([, wrong]) => toMessage('a route', wrong))]
  faultsByHandler.clear()
  if (all.length > 0) throw new Error(all.join('\n'))
}

/** What is wrong with a policy at its route, though it may be right at another. */
function faultsAt({ method, path }: Omit<Route, 'handler'>, policy: Policy): string[] {
  const names = new Set(Array.from(path.matchAll(/:([^/{}?]+)/g), ([, name]) => name))
  const { methods, key } = policy
  const isIdle = methods !== undefined && method !== EVERY_METHOD
  return [
    ...(isIdle && !isGuarding(policy, method, method) ? [`methods: must hold ${method}`] : []),
    ...key
      .filter((source) => source.in === 'param' && !names.has(source.name))
      .map(() => 'key: param(name) must name a parameter of the path, such as id of /orders/:id'),
  ]
}

function unreachable(path: string): string {
  return `HEAD ${path} would never be protected: Hono answers HEAD with the routes of GET. Use app.get or app.all.`
}

/** Methods that change nothing (RFC 9110 §9.2.1), QUERY among them. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

/** What Hono calls the method of a route for every method. */
const EVERY_METHOD = 'ALL'

/** Whether requests with a method are guarded on a route; the others pass as if it were not. */
function isGuarding({ methods }: Policy, routeMethod: string, method: string): boolean {
  if (methods === undefined) return routeMethod !== EVERY_METHOD || !SAFE.has(method)
  // Hono answers HEAD with the routes of GET.
  return methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))
}

/**
 * Whether the policy of the route that a request is at guards it. On a route for every method,
 * safe ones pass unless the policy names them.
 */
export function isGuarded(c: Context<GatewayEnv>, policy: Policy): boolean {
  const route = matchedRoutes(c).at(c.req.routeIndex)
  return isGuarding(policy, route?.method ?? EVERY_METHOD, c.req.method)
}

/** Name of the operation: the policy's, else method and route pattern. */
export function operationOf(c: Context<GatewayEnv>, policy: Policy): string {
  return policy.operation ?? `${c.req.method} ${routePath(c)}`
}

function toMessage(route: string, faults: readonly string[]): string {
  return [`The policy of ${route} is not valid:`, ...faults.map((fault) => `  ${fault}`)].join('\n')
}
