import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import { deployedPolicies } from '../config/deployed-policies.ts'
import { textOf } from '../config/env.ts'
import type { Policy } from '../config/policy.ts'
import { isBound } from '../config/required-bindings.ts'
import { type Destination, secretsOf } from '../core/event/destination.ts'
import type { EventRule } from '../core/event/event.ts'
import type { ClaimRequest } from '../core/operation/claim.ts'
import type { Caller, Keeping } from '../core/operation/operation-guard.ts'
import { type CallBounds, expandPath, type Recovery } from '../core/operation/recovery.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import type { OutcomeRules } from '../core/outcome/outcome-rules.ts'
import type { JudgeRef, LandingRules } from '../core/outcome/reply.ts'
import { toNetwork } from '../core/request/network.ts'
import { toProbeHeaders } from '../core/request/origin-request.ts'
import { readPreference } from '../core/request/prefer.ts'
import { readOuterRetry } from '../core/retry/outer-retry.ts'
import { deriveSealKey, type SealKey } from '../core/seal.ts'
import { requireSpill } from '../platform/spill.ts'
import type { Admitted, Exchange } from './exchange.ts'
import { type GatewayEnv, onceOf } from './gateway-env.ts'
import { scopeOf } from './request-scope.ts'

/** Everything that the object needs for a call, derived from the request and the policy of its route. */
interface PlannedCall {
  /** The route adds who makes the call. */
  readonly claim: Omit<ClaimRequest, 'leaseMs' | 'isAccepted'>
  readonly caller: Caller
  readonly keeping: Keeping
}

/**
 * Plans the call of an admitted request.
 *
 * @param headers The request headers that the origin gets.
 * @throws {ConfigurationFault} When the deployment lacks a binding or secret that the route needs.
 */
export function planCall(
  exchange: Exchange,
  admitted: Admitted,
  headers: readonly HeaderField[],
): PlannedCall {
  const recovery = recoveryOf(exchange, admitted)
  const caller = callerOf(exchange, admitted, headers)
  const keeping = keepingOf(exchange, caller.sealKeys)
  const reauthorizePath = reauthorizePathOf(exchange.policy, admitted.claim)
  return { claim: { ...admitted.claim, recovery, reauthorizePath }, caller, keeping }
}

/**
 * The rules that decide what a response means and what is stored of it.
 *
 * @param call The JSON-RPC call that is answered, if any.
 */
export function landingRulesOf(exchange: Exchange, call: Admitted['call']): LandingRules {
  const { c, policy } = exchange
  const outcomes = dataRulesOf(policy)
  return {
    outcomes,
    ...(outcomes.length < [policy.outcomes].flat().length && { judgedBy: judgeRefOf(exchange) }),
    ...(call !== null && { rpcId: call.id }),
    snapshot: policy.snapshot,
    corsOrigin: c.req.header('Origin') ?? null,
  }
}

/** The outcome rules of a policy without its functions. */
export function dataRulesOf({ outcomes }: Policy): OutcomeRules[] {
  return [outcomes].flat().filter((judge) => typeof judge !== 'function')
}

/** @throws {ConfigurationFault} If the object could not find the policy with the functions. */
function judgeRefOf({ policy, known: { operation } }: Exchange): JudgeRef {
  const deployed = deployedPolicies(operation)
  const index = deployed.findIndex(({ outcomes }) => outcomes === policy.outcomes)
  if (index !== -1) return { operation, index }
  throw new ConfigurationFault('A route with a function in outcomes needs createWorker(app).')
}

/** The limits of one call of the origin. */
export function boundsOf(policy: Policy): CallBounds {
  return { timeoutMs: policy.timeout, limitBytes: policy.limits.response }
}

/** What happens after an unknown outcome. It is stored in the record, to work without the request and after a deployment. */
export function recoveryOf(exchange: Exchange, { claim, call }: Admitted): Recovery {
  const { policy } = exchange
  const { operationId: id, tenant } = claim
  // The id of the call is needed only where the object sends it again or asks about it.
  const isRead = policy.durable || typeof policy.unknown === 'object'
  const rules = landingRulesOf(exchange, isRead ? call : null)
  const plan = { bounds: boundsOf(policy), rules, isDurable: policy.durable }
  if (policy.unknown === 'hold')
    return policy.durable ? { kind: 'hold', ...plan } : { kind: 'hold' }
  if (policy.unknown === 'resend') {
    return { kind: onceOf(exchange.c.env)?.asksFirst === true ? 'self-probe' : 'resend', ...plan }
  }
  const { path: template, grace: graceMs } = policy.unknown
  const path = pathAtOrigin(template, { id, tenant })
  return { kind: 'probe', path, graceMs, ...plan }
}

/** Path at the origin that decides whether a caller may receive the result, if any. */
export function reauthorizePathOf(
  { reauthorize }: Policy,
  { operationId: id, tenant }: Pick<Admitted['claim'], 'operationId' | 'tenant'>,
): string | null {
  return reauthorize === undefined ? null : pathAtOrigin(reauthorize, { id, tenant })
}

/** @throws {ConfigurationFault} If the tenant would change the path. */
function pathAtOrigin(template: string, { id, tenant }: { id: string; tenant: string }): string {
  // A dot segment cannot be escaped in a URL.
  if (/^\.{1,2}$/.test(tenant) && template.includes('{tenant}')) {
    throw new ConfigurationFault('A tenant that is "." or ".." cannot stand in a path.')
  }
  return expandPath(template, { key: id, tenant, id })
}

/** A caller of which nothing is known, and for which nothing is waited. */
export const NO_CALLER: Caller = {
  isAsync: false,
  waitMs: 0,
  corsOrigin: null,
  probeHeaders: [],
  sealKeys: [],
  deadlineAt: null,
  rateLimiter: null,
  address: null,
}

function callerOf(
  { c, policy }: Exchange,
  { claim, key, isVerified }: Admitted,
  headers: readonly HeaderField[],
): Caller {
  const { deadlineAt } = readOuterRetry(c.req.raw.headers)
  const prefer = readPreference(c.req.raw.headers)
  const waitMs = prefer.waitMs ?? (prefer.isAsync ? 0 : policy.wait)
  const rateLimiter = rateLimiterOf(c, policy)
  return {
    isAsync: prefer.isAsync,
    waitMs: Math.max(0, Math.min(waitMs, (deadlineAt ?? Infinity) - Date.now())),
    corsOrigin: c.req.header('Origin') ?? null,
    // A route with `resend` may have records from a time when it had a probe.
    probeHeaders: policy.unknown === 'hold' ? [] : toProbeHeaders(headers),
    sealKeys: sealKeysOf(c, claim.operationId, key),
    deadlineAt,
    rateLimiter,
    address: rateLimiter === null || isVerified ? null : addressOf(c),
  }
}

/**
 * A digest of the client's network. The platform sets the header and overwrites any value from the
 * client. Without the platform, all requests have the same address.
 */
function addressOf(c: Context<GatewayEnv>): string {
  const network = toNetwork(c.req.header('CF-Connecting-IP') ?? '')
  return scopeOf(c).digest('address', network)
}

/** The binding that limits new operations, if the route has a limit. @throws {ConfigurationFault} If it is missing. */
export function rateLimiterOf(c: Context<GatewayEnv>, { limits: { rate } }: Policy): string | null {
  if (rate === false) return null
  const name = rate === true ? 'RATE_LIMITER' : rate
  if (isBound(c.env, name, 'limit')) return name
  throw new ConfigurationFault(`A route with limits.rate needs a rate-limiting binding ${name}.`)
}

const KEY_ID_LENGTH = 12

/** The keys that open stored responses for a client: one for each secret of this deployment, the current one first. */
export function sealKeysOf(
  c: Context<GatewayEnv>,
  operationId: string,
  clientKey: string,
): SealKey[] {
  const { HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS } = c.env
  const secrets = [HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS].filter((secret) => !!secret)
  return secrets.map((secret = '') => ({
    id: idOf(c, secret),
    bytes: deriveSealKey(secret, 'snapshot', operationId, clientKey),
  }))
}

/** Names a secret. It is named in every request, and seldom changes. */
function idOf(c: Context<GatewayEnv>, secret: string): string {
  const secrets = JSON.stringify([c.env.HAPAX_DIGEST_KEY, secret])
  const known = ids.get(secrets)
  if (known !== undefined) return known
  const id = scopeOf(c).digest('seal key', secret).slice(0, KEY_ID_LENGTH)
  ids.set(secrets, id)
  return id
}

const ids = new Map<string, string>()

/** Makes sure that a route can seal its snapshots. @throws {ConfigurationFault} When the secret is missing. */
export function requireSealKey({ env }: Context<GatewayEnv>, { snapshot }: Policy): void {
  const isSealable = !!env.HAPAX_SEAL_KEY || !!env.HAPAX_SEAL_KEY_PREVIOUS
  if (!snapshot.seal || isSealable) return
  throw new ConfigurationFault('A route with snapshot.seal needs the secret HAPAX_SEAL_KEY.')
}

/** How a route stores its snapshots. @throws {ConfigurationFault} When a secret or bucket for that is missing. */
function keepingOf({ c, policy }: Exchange, [key]: readonly SealKey[]): Keeping {
  const { seal, spill } = policy.snapshot
  requireSealKey(c, policy)
  if (spill !== undefined) requireSpill(c.env.SNAPSHOTS)
  return { sealKey: seal ? (key ?? null) : null, spillBytes: spill ?? null }
}

/** The events that a route sends. @throws {ConfigurationFault} When the deployment could not deliver them. */
export function eventsOf({
  c,
  policy: { events },
}: Pick<Exchange, 'c' | 'policy'>): readonly EventRule[] {
  for (const { to } of events) requireDestination(c, to)
  return events
}

function requireDestination(c: Context<GatewayEnv>, to: Destination): void {
  if (to.to === 'queue') {
    if (isBound(c.env, to.binding, 'send')) return
    throw new ConfigurationFault(`A route with events needs a queue binding ${to.binding}.`)
  }
  const missing = secretsOf(to).find((name) => textOf(c.env, name) === null)
  if (missing === undefined) return
  throw new ConfigurationFault(`A route with a webhook needs the secret ${missing}.`)
}
