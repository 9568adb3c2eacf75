import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import type { LandingRules } from '../core/landing.ts'
import { toProbeHeaders } from '../core/origin-request.ts'
import { readPreferredWait } from '../core/prefer.ts'
import { type CallBounds, expandProbePath, type Recovery } from '../core/recovery.ts'
import type { HeaderField } from '../core/snapshot.ts'
import type { Caller } from '../durable/operation-guard.ts'
import type { Admitted } from './admit.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { readOuterRetry } from './outer-retry.ts'

/** The binding that counts new operations where the policy names none. */
const RATE_LIMITER = 'RATE_LIMITER'

/** What of the policy decides what an answer means and what of it is kept. */
export function landingRulesOf(c: Context<GatewayEnv>, policy: Policy): LandingRules {
  const corsOrigin = c.req.header('Origin') ?? null
  return { outcomes: policy.outcomes, snapshot: policy.snapshot, corsOrigin }
}

/** The bounds of one call of the origin. */
export function boundsOf(policy: Policy): CallBounds {
  return { timeoutMs: policy.timeout, limitBytes: policy.limits.response }
}

/**
 * What is done should the outcome be unknown, as the record keeps it: it must hold without the
 * request and across a deploy.
 */
export function recoveryOf(
  c: Context<GatewayEnv>,
  policy: Policy,
  { operationId: id, tenant }: Admitted['claim'],
): Recovery {
  if (policy.unknown === 'hold') return { kind: 'hold' }
  const rules = landingRulesOf(c, policy)
  const plan = { bounds: boundsOf(policy), rules, isDurable: policy.durable }
  if (policy.unknown === 'resend') return { kind: 'resend', ...plan }
  return {
    kind: 'probe',
    path: expandProbePath(policy.unknown.path, { key: id, tenant, id }),
    ...plan,
  }
}

/** @param headers What the origin gets of the request's headers. */
export function callerOf(
  c: Context<GatewayEnv>,
  policy: Policy,
  headers: readonly HeaderField[],
): Caller {
  const { rate } = policy.limits
  const { deadlineAt } = readOuterRetry(c.req.raw.headers)
  const waitMs = readPreferredWait(c.req.raw.headers) ?? policy.wait
  return {
    waitMs: Math.max(0, Math.min(waitMs, (deadlineAt ?? Infinity) - Date.now())),
    corsOrigin: c.req.header('Origin') ?? null,
    probeHeaders: typeof policy.unknown === 'object' ? toProbeHeaders(headers) : [],
    rateLimiter: rate === true ? RATE_LIMITER : rate || null,
  }
}
