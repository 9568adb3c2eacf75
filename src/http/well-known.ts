import type { Context, Handler } from 'hono'
import { findTargetHandler } from 'hono/utils/handler'

import type { Policy } from '../config/policy.ts'
import { FINGERPRINT_VERSION } from '../core/fingerprint/fingerprint.ts'
import type { KeySource } from '../core/request/key-source.ts'
import { type KeyFormat, MAX_KEY_LENGTH } from '../core/request/key.ts'
import type { Contract, ContractKeySource, ContractOperation } from '../core/response/contract.ts'
import { type ProblemSlug, PROBLEMS } from '../core/response/problem.ts'
import type { RetryWord } from '../core/response/retry-word.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { executionCtxOf } from './keep-alive.ts'
import { isAtOrBelow, mountPathOf } from './mount-path.ts'
import { type GuardedRoute, guardedRoutes, type Place, type Route } from './route-policy.ts'

/** How long the contract may be cached: about as long as a deployment takes to spread. */
const CACHE_SECONDS = 60

/** Middlewares that open the scope of a request. */
const entries = new WeakSet<object>()

/** Marks a middleware as one that opens the scope of a request. */
export function markEntry<handler extends object>(handler: handler): handler {
  entries.add(handler)
  return handler
}

/** By the request on its way to an app of a Worker, and by its execution context, which stays the same. */
const apps = new WeakMap<object, RoutedApp>()

/** An app, as far as its contract needs it. */
export interface RoutedApp {
  readonly routes: readonly Route[]
}

/** Notes which app a request goes to. */
export function noteApp(request: Request, ctx: object, app: RoutedApp): void {
  apps.set(request, app)
  apps.set(ctx, app)
}

/** The app that a request went to; `undefined` if no `createWorker` has seen it. */
export function appOf(c: Context): RoutedApp | undefined {
  // A middleware may have replaced the request.
  return apps.get(c.req.raw) ?? apps.get(executionCtxOf(c) ?? c)
}

/** The contract of all guarded routes of a deployment. */
export function contractOf(routes: readonly Route[]): Contract {
  const operations = routes.flatMap((route, index) => {
    const isEntered = routes.slice(0, index).some((before) => opensScope(before, route))
    return guardedRoutes([route])
      .flatMap(toOperation)
      .map((told) => (isEntered ? told : { ...told, tenant: false }))
  })
  return { version: 1, operations }
}

/** Whether a route before another one opens the scope of its requests. */
function opensScope({ handler, path: pattern }: Route, { path }: Route): boolean {
  if (!entries.has(findTargetHandler(handler as Handler))) return false
  return isAtOrBelow(path, mountPathOf(pattern))
}

/** Answers with the contract or a document derived from it, which are public. */
export function serveContract(c: Context<GatewayEnv>, document: object): Response {
  c.header('Cache-Control', `public, max-age=${CACHE_SECONDS}`)
  c.header('Access-Control-Allow-Origin', '*')
  return c.json(document)
}

function toOperation({ method, path, policy, place }: GuardedRoute): readonly ContractOperation[] {
  const { preset, mode, methods, key, keyFormat, fingerprint, limits, unknown } = policy
  if (mode === 'off') return []
  return [
    {
      operation: policy.operation ?? `${method} ${path}`,
      method,
      ...(methods !== undefined && { methods }),
      path,
      mode,
      preset,
      key: {
        required: policy.required,
        sources: key.map(toContractSource),
        ...toFormat(keyFormat),
        minLength: keyFormat.minLength,
        maxLength: MAX_KEY_LENGTH,
      },
      retentionSeconds: policy.retention / 1_000,
      tombstoneSeconds: policy.tombstone / 1_000,
      waitSeconds: policy.wait / 1_000,
      timeoutSeconds: policy.timeout / 1_000,
      fingerprint: toFingerprint(fingerprint),
      limits: { requestBytes: limits.request, responseBytes: limits.response },
      ...toUnknown(unknown),
      respondAsync: place === 'origin',
      problems: problemsOf(policy, place),
    },
  ]
}

function toContractSource(source: KeySource): ContractKeySource {
  if (source.in === 'function') return { in: source.in, scope: source.scope }
  if (source.in === 'mcp') return { in: source.in, meta: source.meta, scope: source.scope }
  if (source.in !== 'batch') return source
  const { concurrency: _, code: __, ...told } = source
  return told
}

function toFingerprint(fingerprint: Policy['fingerprint']): ContractOperation['fingerprint'] {
  const version = FINGERPRINT_VERSION
  const none = { version, ignore: [], dates: [], headers: [], query: false }
  if (fingerprint === false) return { ...none, by: 'nothing' }
  if (typeof fingerprint === 'function') return { ...none, by: 'function' }
  const { ignore, dates, headers, query } = fingerprint
  return { version, ignore, dates, headers, query }
}

function toUnknown(
  unknown: Policy['unknown'],
): Pick<ContractOperation, 'unknown' | 'probeGraceSeconds'> {
  if (typeof unknown !== 'object') return { unknown }
  return { unknown: unknown.kind, probeGraceSeconds: unknown.grace / 1_000 }
}

function toFormat({
  name,
  pattern: { source: pattern, flags },
}: KeyFormat): Pick<ContractOperation['key'], 'format' | 'pattern' | 'flags'> {
  if (name === 'any' || name === 'uuid') return { format: name }
  // The flags `d` and `g` do not affect whether a key matches.
  return { format: 'pattern', pattern, flags: flags.replaceAll(/[dg]/g, '') }
}

/** A variant of a problem that differs from the catalogue. */
interface Variant {
  readonly status?: number
  readonly retry?: RetryWord
}

/** The problems that a route can answer with, in the order of the catalogue. */
function problemsOf(
  policy: Policy,
  place: Place,
): readonly ContractOperation['problems'][number][] {
  const variants =
    place === 'origin' ? variantsOf(policy) : { ...variantsOf(policy), ...inWorker(policy) }
  const slugs = Object.keys(PROBLEMS) as ProblemSlug[]
  return slugs.flatMap((type) => {
    const { title, ...usual } = PROBLEMS[type]
    return (variants[type] ?? [{}]).map(({ status = usual.status, retry = usual.retry }) => {
      return { type, status, title, retry }
    })
  })
}

type Variants = Partial<Record<ProblemSlug, readonly Variant[]>>

const only = (isSo: boolean, variant: Variant = {}): readonly Variant[] => (isSo ? [variant] : [])

/** What a client may do after an unknown outcome. */
const retryOf = ({ unknown }: Policy): RetryWord => (unknown === 'hold' ? 'never' : 'wait')

/** The variants of problems. A problem that is not listed is as in the catalogue. */
function variantsOf(policy: Policy): Variants {
  const isRepeatable = policy.key.some((source) => source.in === 'repeatability')
  const retry = retryOf(policy)
  // A retry of a request without protection cannot be recognized.
  const isForwarded = !policy.required || policy.onStoreError === 'open'
  const unprotected = only(isForwarded && retry !== 'never', { retry: 'never' })
  return {
    'key-missing': only(policy.required),
    'tenant-missing': [{}, { status: 503, retry: 'same-key' }],
    'key-reused': [{ status: policy.mismatchStatus }],
    'key-expired': [...only(policy.tombstone > 0), ...only(isRepeatable, { status: 412 })],
    'outcome-unknown': [
      { retry },
      { status: 502, retry },
      ...unprotected.map((variant) => ({ status: 502, ...variant })),
    ],
    // With the same key where the deadline had passed before anything was sent.
    'origin-timeout': [{ retry }, ...unprotected, { retry: 'same-key' }],
    'circuit-open': only(policy.retry.breaker !== false),
    'rate-limited': only(policy.limits.rate !== false),
    'operation-not-found': [],
  }
}

/** Variants for a handler in the Worker, of which only the answer can be lost. */
function inWorker(policy: Policy): Variants {
  const retry = retryOf(policy)
  return {
    'outcome-unknown': [{ retry }, { status: 502, retry }],
    'origin-timeout': [{ retry: 'same-key' }],
    'origin-unreachable': policy.reauthorize === undefined ? [] : [{}],
    'circuit-open': [],
  }
}
