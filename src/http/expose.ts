import type { Context } from 'hono'

import type { GatewayEnv } from './gateway-env.ts'

/**
 * Exposes the gateway's headers to scripts of another web origin, if they may read the answer. A
 * middleware that sets the exposed headers itself takes precedence.
 */
export function expose(c: Context<GatewayEnv>, headers: Headers): void {
  // Reading `c.res` creates a response, which affects the answer, so it is read only if needed.
  if (c.req.header('Origin') === undefined) return
  const isShared = headers.has(ALLOW_ORIGIN) || c.res.headers.has(ALLOW_ORIGIN)
  if (!isShared || c.res.headers.has(EXPOSE_HEADERS)) return
  headers.append(EXPOSE_HEADERS, EXPOSED_HEADERS.join(', '))
}

const ALLOW_ORIGIN = 'Access-Control-Allow-Origin'
const EXPOSE_HEADERS = 'Access-Control-Expose-Headers'

/** Headers that browsers must be allowed to read. */
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
