import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { misconfigured, notPassedOn, unprotectedLost } from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { logFault, logThrown } from '../metrics/log.ts'
import { showsErrors } from './development.ts'
import { expose } from './expose.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { problemResponse } from './problem-response.ts'
import { scopeOf } from './request-scope.ts'
import { isSafe } from './route-policy.ts'

/** Answers a request that was passed on, and whose answer did not come. */
export function originLost(c: Context<GatewayEnv>, error: unknown): Response {
  const { correlationId } = scopeOf(c).correlation
  logThrown('the origin did not answer a request', error, { correlationId }, showsErrors(c))
  return toResponse(c, isSafe(c.req.method) ? notPassedOn() : unprotectedLost('lost'))
}

/** Answers a request that cannot be passed on in this deployment. @throws Any other error. */
export function notConfigured(c: Context<GatewayEnv>, error: unknown): Response {
  if (!(error instanceof ConfigurationFault)) throw error
  logFault('a request could not be passed on', error)
  return toResponse(c, misconfigured(error.message))
}

function toResponse(c: Context<GatewayEnv>, because: Problem): Response {
  const response = problemResponse(c, because)
  response.headers.set('X-Correlation-Id', scopeOf(c).correlation.correlationId)
  expose(c, response.headers)
  return response
}
