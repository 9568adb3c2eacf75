import type { Context } from 'hono'

import type { GatewayEnv } from './gateway-env.ts'

/**
 * Lets a script of another origin read what stands here, where it may read the answer at all. A
 * middleware that says itself what is exposed has the last word.
 */
export function expose(c: Context<GatewayEnv>, headers: Headers): void {
  // Asking `c.res` makes one, which changes what becomes of the answer: only where it may matter.
  if (c.req.header('Origin') === undefined) return
  const isShared = headers.has(ALLOW_ORIGIN) || c.res.headers.has(ALLOW_ORIGIN)
  if (!isShared || c.res.headers.has(EXPOSE_HEADERS)) return
  headers.append(EXPOSE_HEADERS, EXPOSED_HEADERS.join(', '))
}

const ALLOW_ORIGIN = 'Access-Control-Allow-Origin'
const EXPOSE_HEADERS = 'Access-Control-Expose-Headers'

/** What of an answer browsers must be allowed to read. */
const EXPOSED_HEADERS: readonly string[] = [
  'Idempotency-Status',
  'Idempotent-Replayed',
  'Idempotency-Expires',
  'Age',
  'X-Correlation-Id',
  'Hapax-Error',
  'Retry-After',
  'X-Should-Retry',
  'Location',
  'Preference-Applied',
  'Repeatability-Result',
  'Hapax-Warning',
  'Deprecation',
  'Sunset',
  'Link',
]
