import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { createDigest, type Digest } from '../core/digest.ts'
import { type Correlation, readCorrelation } from '../core/request/correlation.ts'
import type { ErrorHook } from './error-facts.ts'
import type { GatewayEnv, Identify } from './gateway-env.ts'

/** Facts of a request that are known before its route. */
export interface RequestScope {
  /** Epoch milliseconds when it arrived. */
  readonly startedAt: number
  /** Made when it is first needed. */
  readonly correlation: Correlation
  readonly digest: Digest
  readonly identify: Identify
  /** Is told about errors of handlers. */
  readonly onError: ErrorHook | undefined
  /** Path below which the app serves what belongs to Hapax, as links write it: empty, or such as `/api`. */
  readonly base: string
  /** Length of this path as the app matches it. */
  readonly baseLength: number
  /** Whether the app is a gateway, which forwards what no route answers. */
  readonly isGateway: boolean
}

/** What the options say about the scope of each request. */
export type ScopeParts = Pick<RequestScope, 'identify' | 'onError' | 'isGateway'>

/** By Hono's request, which stays the same when a restored body replaces the platform's request. */
const scopes = new WeakMap<object, RequestScope>()

/** Opens the scope of a request. @param base As `RequestScope.base`, but as the app matches it. */
export function openScope({ env, req }: Context<GatewayEnv>, parts: ScopeParts, base = ''): void {
  const { headers } = req.raw
  let correlation: Correlation | undefined
  let digest: Digest | undefined
  // Requests that pass through need neither.
  scopes.set(req, {
    startedAt: Date.now(),
    get correlation() {
      return (correlation ??= readCorrelation(headers, () => crypto.randomUUID()))
    },
    get digest() {
      return (digest ??= createDigest(env.HAPAX_DIGEST_KEY))
    },
    ...parts,
    base: toLink(base),
    baseLength: base.length,
  })
}

/** A part of the path can come from the client. Escapes that Hono has left stay as they are. */
const toLink = (path: string) => encodeURI(path).replaceAll('%25', '%')

/** The scope of a request to a passing route without `hapax`. */
export function openBareScope(c: Context<GatewayEnv>, identify: Identify): void {
  openScope(c, { identify, onError: undefined, isGateway: false })
}

/** Gives a request the scope of another one that it comes from, but for its tenant. */
export function inheritScope(from: Context, { req }: Context, identify: Identify): void {
  scopes.set(req, { ...scopeOf(from), startedAt: Date.now(), identify })
}

/** Gives a request to another app the scope that it has in this one. */
export function handOverScope(from: Context, { req }: Context): void {
  scopes.set(req, scopeOf(from))
}

/** The scope of a request. @throws {ConfigurationFault} If neither `hapax` nor `createGateway` has opened one. */
export function scopeOf({ req }: Context): RequestScope {
  const scope = scopes.get(req)
  if (scope === undefined) throw new ConfigurationFault(NO_SCOPE)
  return scope
}

/** The path of a request below the base of its app. */
export const pathBelowBase = (c: Context): string => c.req.path.slice(scopeOf(c).baseLength)

/** Whether `hapax` or `createGateway` has opened the scope of a request. */
export const hasScope = ({ req }: Context): boolean => scopes.has(req)

/** The fault of an app whose protected routes nothing precedes. */
export const NO_SCOPE =
  'No hapax() precedes this protected route. Add app.use(hapax({ tenant })) above it.'
