import type { Context, Handler, Next } from 'hono'
import { routePath } from 'hono/route'

import { deployedPlacement } from '../config/deployed-placement.ts'
import type { PolicyOptions } from '../config/policy.ts'
import type { Answer } from '../core/operation/answer.ts'
import type { ExecuteCall, OperationGuard } from '../core/operation/operation-guard.ts'
import { callerNameOf, hasShards } from '../core/operation/placement.ts'
import { batchOf } from '../core/request/key-source.ts'
import type { OriginRequest } from '../core/request/origin-request.ts'
import { withoutObeyed } from '../core/request/prefer.ts'
import { strayBody } from '../core/response/problem-details.ts'
import { boundRetry } from '../core/retry/retry.ts'
import { forwardCall } from '../origin/forward-call.ts'
import { requireOrigin } from '../origin/target.ts'
import { askAt, askObject, type GuardPlace } from '../platform/ask-object.ts'
import { announce } from './announce.ts'
import { boundsOf, landingRulesOf, planCall } from './call-plan.ts'
import {
  conclude,
  concludeFault,
  concludeOperation,
  isLetThrough,
  toGuardLost,
} from './conclude.ts'
import { isOnlyObserved } from './enforcement.ts'
import { type Admitted, type Exchange, learn, openExchange } from './exchange.ts'
import { explain, explanationOf } from './explain-mismatch.ts'
import { forwardUnprotected } from './forward-unprotected.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { keepAlive } from './keep-alive.ts'
import { requestUrlOf } from './normalized-url.ts'
import { beginObserving, endObserving } from './observe.ts'
import { forwardedHeadersOf } from './origin-headers.ts'
import { readOuterRetry } from './outer-retry.ts'
import { passThrough } from './pass-through.ts'
import { isBodyless } from './payload.ts'
import { readOperation } from './read-operation.ts'
import { reauthorize } from './reauthorize.ts'
import { isGuarded, withPolicy } from './route-policy.ts'
import { batchCodeOf } from './source-code.ts'
import { rejected, type Verdict } from './verdict.ts'

/**
 * Protects a route: the first request with a key is forwarded to the origin, and every retry receives
 * the stored response.
 *
 * @param options The route's policy. `docs/policy.md` lists the fields. With an invalid policy, the
 *   Worker does not start.
 * @example app.post('/payments', protect({ retention: '72h' }))
 */
export function protect(options: PolicyOptions = {}): Handler<GatewayEnv> {
  return withPolicy(options, 'origin', (policy): Handler<GatewayEnv> => {
    if (policy.mode === 'off') return passThrough
    const source = batchOf(policy.key)
    return source === null ? protect : batchCodeOf(source).perItem(policy, source, protect)

    async function protect(c: Context<GatewayEnv>, next: Next): Promise<Response> {
      if (!isGuarded(c, policy)) {
        await next()
        return c.res
      }
      if (await isOnlyObserved(c, policy)) {
        const observation = await beginObserving(c, policy)
        return endObserving(observation, await passThrough(c))
      }
      const exchange = openExchange(c, policy)
      try {
        return await forwardOnce(exchange)
      } catch (error) {
        return concludeFault(exchange, error)
      }
    }
  })
}

/** The steps of a protected request, in their order. */
async function forwardOnce(exchange: Exchange): Promise<Response> {
  // Key, tenant, payload, fingerprint.
  const reading = await readOperation(exchange)
  if (reading.kind === 'no-operation') {
    await exchange.payload.restore()
    return passThrough(exchange.c)
  }
  if (reading.kind === 'refused') return conclude(exchange, rejected(reading.problem))
  if (reading.kind === 'keyless') {
    const response = await forwardUnprotected(exchange, await exchange.payload.soFar())
    return announce(exchange, response, 'key-missing')
  }
  const { admitted } = reading
  const askedAt = Date.now()
  // Claim, origin, settle.
  const verdict = await execute(exchange, admitted).catch(toGuardLost)
  if (isLetThrough(exchange, verdict)) return forwardUnprotected(exchange, admitted.body)
  learn(exchange, { guardMs: Date.now() - askedAt })
  // Answer.
  return concludeOperation(exchange, admitted, verdict)
}

/** Asks the object to execute the operation, or to answer from its record. */
async function execute(exchange: Exchange, admitted: Admitted): Promise<Verdict> {
  const { c } = exchange
  requireOrigin(c.env)
  if (isBodyless(c.req.method) && admitted.body.byteLength > 0) return rejected(strayBody())
  const call = toExecuteCall(exchange, admitted)
  const { reauthorizePath } = call.claim
  const answer = await answerCall(exchange, call)
  const allowed = await reauthorize(c, answer, call.plan.request.headers, reauthorizePath)
  return explain(exchange, admitted, allowed)
}

/**
 * Lets the object of the operation make the call, or makes it here if one object holds many operations:
 * the platform gives it few connections. A Worker may end soon after its response, so the call of a
 * client that comes back for the result is made by an object of its own.
 */
function answerCall({ c, policy }: Exchange, call: ExecuteCall): Promise<Answer> {
  const deployed = deployedPlacement()
  const { operationId } = call.claim
  if (!hasShards(deployed.placement)) {
    const ask = (object: OperationGuard, { movedAt }: GuardPlace) =>
      object.execute(movedAt === null ? call : { ...call, claim: { ...call.claim, movedAt } })
    return askObject(c, operationId, ask, { memory: call.claim })
  }
  const forwarded = { ...call, leaseMs: policy.lease, deployed }
  if (call.caller.isAsync) {
    const caller = { operationId, name: callerNameOf(operationId) }
    // Asked once: the one that was asked before may still make the call, under the same claim.
    return askAt(c, caller, (object) => object.forward(forwarded), 1)
  }
  const waitUntil = (work: Promise<unknown>) => keepAlive(c, work)
  const answering = forwardCall({ env: c.env, waitUntil }, forwarded)
  // From before the claim on: a claim that nobody hears of would stand until its lease is over.
  waitUntil(answering)
  return answering
}

function toExecuteCall(exchange: Exchange, admitted: Admitted): ExecuteCall {
  const { c, policy } = exchange
  const { body, fields, key } = admitted
  const { operationId, tenant } = admitted.claim
  const forwardedKey = { derived: operationId, client: key, none: null }[
    policy.forwardKey || 'none'
  ]
  const request: OriginRequest = {
    method: c.req.method,
    path: forwardedPathOf(c),
    // The origin would obey again what the gateway has obeyed.
    headers: withoutObeyed(forwardedHeadersOf(exchange, { key: forwardedKey, fields })),
    body: c.req.raw.body === null || isBodyless(c.req.method) ? null : body,
  }
  const { claim, caller, keeping } = planCall(exchange, admitted, request.headers)
  const { retry } = policy
  return {
    claim: { ...claim, isAccepted: caller.isAsync, leaseMs: null },
    caller,
    plan: {
      request,
      tenant,
      bounds: boundsOf(policy),
      rules: landingRulesOf(exchange, admitted.call),
      retry,
      retryBounds: boundRetry(retry, readOuterRetry(c.req.raw.headers), Date.now()),
      keeping,
    },
    isStored: policy.durable,
    explanation: explanationOf(admitted),
  }
}

/** Path and query for the origin. What a pattern leaves open may hold a URL: its slashes stay. */
function forwardedPathOf(c: Context<GatewayEnv>): string {
  const { forwarded, untouched } = requestUrlOf(c)
  return /[*{]/.test(routePath(c)) ? untouched : forwarded
}
