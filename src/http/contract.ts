import type { Context, Handler } from 'hono'
import { findTargetHandler } from 'hono/utils/handler'

import type { Policy } from '../config/policy.ts'
import type { Contract, ContractOperation } from '../core/contract.ts'
import { FINGERPRINT_VERSION } from '../core/fingerprint/fingerprint.ts'
import { MAX_KEY_LENGTH } from '../core/key.ts'
import { type ProblemSlug, PROBLEMS } from '../core/problem.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { guardingOf } from './route-policy.ts'

interface Route {
  readonly method: string
  readonly path: string
  readonly handler: object
}

/** How long a machine may remember the contract: about as long as a deploy takes to reach everybody. */
const CACHE_SECONDS = 60

/** Says what a deployment promises about its routes, as far as they are guarded. */
export function contractOf(routes: readonly Route[]): Contract {
  return { version: 1, operations: routes.flatMap(toOperation) }
}

/** Answers with the contract, or with what is made of it; it is public. */
export function serveContract(c: Context<GatewayEnv>, document: object): Response {
  c.header('Cache-Control', `public, max-age=${CACHE_SECONDS}`)
  c.header('Access-Control-Allow-Origin', '*')
  return c.json(document)
}

function toOperation({ method, path, handler }: Route): readonly ContractOperation[] {
  // An app inside the app that handles its own errors wraps its handlers.
  const guarding = guardingOf(findTargetHandler(handler as Handler))
  if (guarding === undefined) return []
  const { policy, place } = guarding
  const { preset, mode, key, keyFormat, fingerprint, limits, unknown } = policy
  if (mode === 'off') return []
  const { ignore, dates, headers, query } = fingerprint
  return [
    {
      operation: policy.operation ?? `${method} ${path}`,
      method,
      path,
      mode,
      preset,
      key: {
        required: policy.required,
        sources: key,
        format: keyFormat.name,
        minLength: keyFormat.minLength,
        maxLength: MAX_KEY_LENGTH,
      },
      retentionSeconds: policy.retention / 1_000,
      tombstoneSeconds: policy.tombstone / 1_000,
      waitSeconds: policy.wait / 1_000,
      timeoutSeconds: policy.timeout / 1_000,
      fingerprint: { version: FINGERPRINT_VERSION, ignore, dates, headers, query },
      limits: { requestBytes: limits.request, responseBytes: limits.response },
      unknown: typeof unknown === 'object' ? unknown.kind : unknown,
      respondAsync: place === 'origin',
      problems: problemsOf(policy),
    },
  ]
}

/** What of the catalogue this route can answer with, in its order. */
function problemsOf(policy: Policy): ContractOperation['problems'] {
  const never: Partial<Record<ProblemSlug, boolean>> = {
    'key-missing': !policy.required,
    'key-expired': policy.tombstone === 0,
    'circuit-open': policy.retry.breaker === false,
    'rate-limited': policy.limits.rate === false,
    'snapshot-sealed': !policy.snapshot.seal,
    'operation-not-found': true,
  }
  const slugs = Object.keys(PROBLEMS) as ProblemSlug[]
  const problems = slugs
    .filter((slug) => never[slug] !== true)
    .map((slug) => {
      const own = slug === 'key-reused' ? policy.mismatchStatus : PROBLEMS[slug].status
      return toProblem(slug, own)
    })
  const isRepeatable = policy.key.some((source) => source.in === 'repeatability')
  return isRepeatable ? [...problems, toProblem('key-expired', 412)] : problems
}

function toProblem(type: ProblemSlug, status: number) {
  const { title, retry } = PROBLEMS[type]
  return { type, status, title, retry }
}
