import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { deployedPolicies } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import { toNetwork } from '../core/network.ts'
import type { Caller } from '../core/operation-guard.ts'
import { toProbeHeaders } from '../core/origin-request.ts'
import type { OutcomeRules } from '../core/outcome-rules.ts'
import { readPreference } from '../core/prefer.ts'
import { type CallBounds, expandPath, type Recovery } from '../core/recovery.ts'
import type { JudgeRef, LandingRules } from '../core/reply.ts'
import type { HeaderField } from '../core/snapshot.ts'
import type { Admitted } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { sealKeysOf } from './keeping.ts'
import { readOuterRetry } from './outer-retry.ts'
import { operationOf } from './route-policy.ts'

/** The binding that counts new operations where the policy names none. */
const RATE_LIMITER = 'RATE_LIMITER'

/**
 * What of the policy decides what an answer means and what of it is kept.
 *
 * @param call The JSON-RPC call that is answered, if any.
 */
export function landingRulesOf(
  c: Context<GatewayEnv>,
  policy: Policy,
  call: Admitted['call'],
): LandingRules {
  const corsOrigin = c.req.header('Origin') ?? null
  const judges = [policy.outcomes].flat()
  const outcomes = dataRulesOf(policy)
  const judgedBy = outcomes.length === judges.length ? {} : { judgedBy: judgeRefOf(c, policy) }
  const rpc = call === null ? {} : { rpcId: call.id }
  return { outcomes, ...judgedBy, ...rpc, snapshot: policy.snapshot, corsOrigin }
}

/** The rules of a policy without its functions. */
export function dataRulesOf({ outcomes }: Policy): OutcomeRules[] {
  return [outcomes].flat().filter((judge) => typeof judge !== 'function')
}

/** @throws {ConfigurationFault} When the object could not find the policy, and so its functions. */
function judgeRefOf(c: Context<GatewayEnv>, policy: Policy): JudgeRef {
  const operation = operationOf(c, policy)
  const index = deployedPolicies(operation).findIndex(
    ({ outcomes }) => outcomes === policy.outcomes,
  )
  if (index !== -1) return { operation, index }
  throw new ConfigurationFault('A route with a function in outcomes needs createWorker(app).')
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
  { claim, call }: Pick<Admitted, 'claim' | 'call'>,
): Recovery {
  const { operationId: id, tenant } = claim
  // Where nothing is sent again, and nobody asked, the id of the call is no business of the record.
  const isRead = policy.durable || typeof policy.unknown === 'object'
  const rules = landingRulesOf(c, policy, isRead ? call : null)
  const plan = { bounds: boundsOf(policy), rules, isDurable: policy.durable }
  if (policy.unknown === 'hold')
    return policy.durable ? { kind: 'hold', ...plan } : { kind: 'hold' }
  if (policy.unknown === 'resend') return { kind: 'resend', ...plan }
  const { path: template, grace: graceMs } = policy.unknown
  const path = pathAtOrigin(template, { id, tenant })
  return { kind: 'probe', path, graceMs, ...plan }
}

/** Path at the origin that is asked before a result of the operation is given out, if any. */
export function reauthorizePathOf(
  { reauthorize }: Policy,
  { operationId: id, tenant }: Pick<Admitted['claim'], 'operationId' | 'tenant'>,
): string | null {
  return reauthorize === undefined ? null : pathAtOrigin(reauthorize, { id, tenant })
}

/** @throws {ConfigurationFault} When a resolver names a tenant that would lead out of the path. */
function pathAtOrigin(template: string, { id, tenant }: { id: string; tenant: string }): string {
  // No escape hides a dot segment from who reads a URL.
  if (/^\.{1,2}$/.test(tenant) && template.includes('{tenant}')) {
    throw new ConfigurationFault('A tenant that is "." or ".." cannot stand in a path.')
  }
  return expandPath(template, { key: id, tenant, id })
}

/** @param headers What the origin gets of the request's headers. */
export async function callerOf(
  c: Context<GatewayEnv>,
  policy: Policy,
  { claim, key, isVerified }: Pick<Admitted, 'claim' | 'key' | 'isVerified'>,
  headers: readonly HeaderField[],
): Promise<Caller> {
  const { deadlineAt } = readOuterRetry(c.req.raw.headers)
  const prefer = readPreference(c.req.raw.headers)
  const waitMs = prefer.waitMs ?? (prefer.isAsync ? 0 : policy.wait)
  const rateLimiter = rateLimiterOf(c, policy)
  return {
    isAsync: prefer.isAsync,
    waitMs: Math.max(0, Math.min(waitMs, (deadlineAt ?? Infinity) - Date.now())),
    corsOrigin: c.req.header('Origin') ?? null,
    // A route that sends again asks as well, where the record is of a time when it asked.
    probeHeaders: policy.unknown === 'hold' ? [] : toProbeHeaders(headers),
    sealKeys: await sealKeysOf(c, claim.operationId, key),
    deadlineAt,
    rateLimiter,
    address: rateLimiter === null || isVerified ? null : await addressOf(c),
  }
}

/**
 * Where a request comes from, as a digest. The platform writes the header, whatever a client sends
 * there; without the platform there is none, and all requests come from one place.
 */
function addressOf(c: Context<GatewayEnv>): Promise<string> {
  const network = toNetwork(c.req.header('CF-Connecting-IP') ?? '')
  return c.var.hapax.digest('address', network)
}

/**
 * The binding that counts new operations, where the route says so.
 *
 * @throws {ConfigurationFault} When the deployment does not have it.
 */
function rateLimiterOf(c: Context<GatewayEnv>, { limits: { rate } }: Policy): string | null {
  if (rate === false) return null
  const name = rate === true ? RATE_LIMITER : rate
  if (Reflect.has(c.env, name)) return name
  throw new ConfigurationFault(`A route with limits.rate needs a rate-limiting binding ${name}.`)
}
