import type { Context, MiddlewareHandler } from 'hono'

import { requestInvalid } from '../core/response/problem-details.ts'
import { hasBasePath } from '../origin/find-origin.ts'
import { expose } from './expose.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { readRequestUrl } from './normalized-url.ts'
import { problemResponse } from './problem-response.ts'
import { scopeOf } from './request-scope.ts'

/**
 * Rejects a request before any route.
 *
 * @param cors Lets scripts of another web origin read the reason.
 */
export async function refuseUrl(
  c: Context<GatewayEnv>,
  cors: MiddlewareHandler<GatewayEnv>,
  because: string,
): Promise<Response> {
  const answer = await cors(c, async () => {
    c.res = refusal(c, because)
  })
  return answer ?? c.res
}

/** Why a request is rejected: its URL is invalid, or leaves the origin's base path. `null` if it is not. */
export function whyRefused(c: Context<GatewayEnv>): string | null {
  const read = readRequestUrl(c)
  if (!read.ok) return read.error.because
  if (!read.value.isAboveRoot || !hasBasePath(c.env)) return null
  return 'The path of the request leads out of what is served here.'
}

function refusal(c: Context<GatewayEnv>, because: string): Response {
  const response = problemResponse(c, requestInvalid(because))
  const { headers } = response
  headers.set('Idempotency-Status', 'rejected')
  headers.set('X-Correlation-Id', scopeOf(c).correlation.correlationId)
  expose(c, headers)
  return response
}
