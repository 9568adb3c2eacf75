import type { Context, Handler, Hono } from 'hono'
import { matchedRoutes, routePath } from 'hono/route'
import { findTargetHandler } from 'hono/utils/handler'

import type { DeployedRoute } from '../config/deployed-policies.ts'
import { parsePolicy, type Policy, type PolicyOptions } from '../config/policy.ts'
import { batchOf } from '../core/request/key-source.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** What executes the operations of a route: the origin, or a handler in the Worker. */
type Place = 'origin' | 'worker'

/** The policy of a handler. */
interface Guarding {
  readonly policy: Policy
  readonly place: Place
}

const guardings = new WeakMap<object, Guarding>()

/** Invalid fields of policies, by their handler. */
const faultsByHandler = new Map<object, readonly string[]>()

/**
 * Creates a handler with a policy. If the policy is invalid, the handler always throws, and
 * `checkPolicies` reports it with its route, which is not known here.
 */
export function withPolicy<handler extends (...args: never[]) => unknown>(
  options: PolicyOptions,
  place: Place,
  create: (policy: Policy) => handler,
): handler {
  const parsed = parsePolicy(options)
  const faults = parsed.ok ? faultsIn(place, parsed.value) : parsed.error
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

/** Fields that are invalid for this place. */
function faultsIn(place: Place, { key }: Policy): readonly string[] {
  if (place === 'origin' || batchOf(key) === null) return []
  return ['key: batch() is for protect(); a handler in the Worker gets its request once']
}

/** A route of an app. */
export interface Route {
  readonly method: string
  readonly path: string
  readonly handler: object
}

/** A route with a policy. */
export type GuardedRoute = DeployedRoute & Guarding

/** All routes of an app that have a policy. */
export function guardedRoutes(routes: readonly Route[]): GuardedRoute[] {
  return routes.flatMap(({ method, path, handler }) => {
    // A mounted app with its own error handler wraps its handlers.
    const guarding = guardings.get(findTargetHandler(handler as Handler))
    return guarding === undefined ? [] : [{ method, path, ...guarding }]
  })
}

/** The first guarded route of an app for a request. @param path As the app matches it. */
export function findGuarded(
  { router }: Pick<Hono<GatewayEnv>, 'router'>,
  method: string,
  path: string,
): GuardedRoute | undefined {
  const [matched] = router.match(method, path)
  return guardedRoutes(matched.map(([[, route]]) => route))[0]
}

/** @throws {Error} If a policy is invalid. The message names all routes and fields. */
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
  // A mounted app may hide its handlers.
  const found = new Set<object>(routes.map(({ handler }) => handler))
  const hidden = [...faultsByHandler].filter(([handler]) => !found.has(handler))
  const all = [...faults, ...hidden.map(([, wrong]) => toMessage('a route', wrong))]
  faultsByHandler.clear()
  if (all.length > 0) throw new Error(all.join('\n'))
}

/** Fields of a policy that are invalid for this route only. */
function faultsAt({ method, path }: Omit<Route, 'handler'>, policy: Policy): string[] {
  const names = new Set(Array.from(path.matchAll(/:([^/{}?]+)/g), ([, name]) => name))
  const { methods, key } = policy
  const isIdle = methods !== undefined && method !== EVERY_METHOD && !holds(methods, method)
  return [
    ...(isIdle ? [`methods: must hold ${method}`] : []),
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

/** Hono's method of a route for all methods. */
const EVERY_METHOD = 'ALL'

/** Whether a policy names a method. */
function holds(methods: readonly string[], method: string): boolean {
  // Hono answers HEAD with the routes of GET.
  return methods.includes(method) || (method === 'HEAD' && methods.includes('GET'))
}

/**
 * Whether the policy applies to a request. On a route for all methods, it applies to a safe request
 * only if the client sends a key in a header.
 */
export function isGuarded(c: Context<GatewayEnv>, { methods, key }: Policy): boolean {
  const { method } = c.req
  if (methods !== undefined) return holds(methods, method)
  const isForAll = matchedRoutes(c).at(c.req.routeIndex)?.method === EVERY_METHOD
  if (!isForAll || !SAFE.has(method)) return true
  return key.some((source) => source.in === 'header' && c.req.header(source.name) !== undefined)
}

/** Name of the operation: from the policy, else method and route pattern. */
export function operationOf(c: Context<GatewayEnv>, policy: Policy): string {
  return policy.operation ?? `${c.req.method} ${routePath(c)}`
}

function toMessage(route: string, faults: readonly string[]): string {
  return [`The policy of ${route} is not valid:`, ...faults.map((fault) => `  ${fault}`)].join('\n')
}
