import type { Context, Handler, Hono } from 'hono'
import { matchedRoutes, routePath } from 'hono/route'
import { findTargetHandler } from 'hono/utils/handler'

import { deployedOrigins, noSuchOrigin, policyWithDefaults } from '../config/deployed-origins.ts'
import { deployedMessages, type DeployedRoute } from '../config/deployed-policies.ts'
import { parsePolicy, type Policy, type PolicyOptions } from '../config/policy.ts'
import { batchOf } from '../core/request/key-source.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** What executes the operations of a route: the origin, or a handler in the Worker. */
export type Place = 'origin' | 'worker'

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
    const { value } = parsed
    if (value.origin !== undefined) return withOrigin(options, { policy: value, place }, create)
    const handler = create(value)
    guardings.set(handler, { policy: value, place })
    return handler
  }
  const faulty = (() => {
    throw new Error(toMessage('this route', faults))
  }) as unknown as handler
  faultsByHandler.set(faulty, faults)
  return faulty
}

/**
 * Creates a handler whose policy has the defaults of its origin. Those are read when they are first
 * needed: a module of routes may be loaded before the gateway is created.
 */
function withOrigin<handler extends (...args: never[]) => unknown>(
  options: PolicyOptions,
  { policy, place }: Guarding,
  create: (policy: Policy) => handler,
): handler {
  const policyOf = policyWithDefaults(options, policy)
  let made: { readonly of: Policy; readonly handler: handler } | null = null
  const handler = ((...args) => {
    const present = policyOf()
    if (made?.of !== present) made = { of: present, handler: create(present) }
    return made.handler(...args)
  }) as handler
  guardings.set(handler, {
    get policy() {
      return policyOf()
    },
    place,
  })
  return handler
}

/** Handlers that pass requests to an origin without a policy, and the name of that origin. */
const passing = new WeakMap<object, string>()

/** Notes that a handler passes requests to an origin, so that `checkPolicies` can check its name. */
export function notePassing<handler extends object>(handler: handler, origin: string): handler {
  passing.set(handler, origin)
  return handler
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
    const lost = faultsOfOrigin(passing.get(findTargetHandler(handler as Handler)))
    if (lost.length > 0) return [toMessage(`${method} ${path}`, lost)]
    return method === 'HEAD' && guardings.has(handler) ? [unreachable(path)] : []
  })
  for (const [operation, { origin }] of deployedMessages()) {
    const lost = faultsOfOrigin(origin)
    if (lost.length > 0) faults.push(toMessage(`messages of ${operation}`, lost))
  }
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
    ...faultsOfOrigin(policy.origin),
    ...(isIdle ? [`methods: must hold ${method}`] : []),
    ...key
      .filter((source) => source.in === 'param' && !names.has(source.name))
      .map(() => 'key: param(name) must name a parameter of the path, such as id of /orders/:id'),
  ]
}

function faultsOfOrigin(name: string | undefined): string[] {
  if (name === undefined || deployedOrigins().has(name)) return []
  return [`origin: ${noSuchOrigin(name)}`]
}

function unreachable(path: string): string {
  return `HEAD ${path} would never be protected: Hono answers HEAD with the routes of GET. Use app.get or app.all.`
}

/** Methods that change nothing (RFC 9110 §9.2.1), QUERY among them. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

/** Whether requests of a method change nothing. */
export const isSafe = (method: string): boolean => SAFE.has(method)

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
  if (!isForAll || !isSafe(method)) return true
  return key.some((source) => source.in === 'header' && c.req.header(source.name) !== undefined)
}

/** Whether no route after the present one matches a request. */
export const isLastRoute = (c: Context): boolean => matchedRoutes(c).length === c.req.routeIndex + 1

/** Name of the operation: from the policy, else method and route pattern. */
export function operationOf(c: Context<GatewayEnv>, policy: Policy): string {
  return policy.operation ?? `${c.req.method} ${routePath(c)}`
}

function toMessage(route: string, faults: readonly string[]): string {
  return [`The policy of ${route} is not valid:`, ...faults.map((fault) => `  ${fault}`)].join('\n')
}
