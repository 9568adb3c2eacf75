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
import { readOuterRetry } from '../core/retry/outer-retry.ts'
import { boundRetry } from '../core/retry/retry.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import { forwardCall } from '../origin/forward-call.ts'
import { askAt, askObject, type GuardPlace } from '../platform/ask-object.ts'
import { methodsFor } from '../platform/methods-for.ts'
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
import { keyForOrigin } from './operation-context.ts'
import { forwardedHeadersOf } from './origin-headers.ts'
import { forwardTo } from './pass-through.ts'
import { isBodyless } from './payload.ts'
import { readOperation } from './read-operation.ts'
import { reauthorize } from './reauthorize.ts'
import { hasScope, scopeOf } from './request-scope.ts'
import { requireScope } from './require-scope.ts'
import { requireParts } from './requirements.ts'
import { isGuarded, isLastRoute, withPolicy } from './route-policy.ts'
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
export function protect(options: PolicyOptions = {}): Handler {
  return withPolicy(options, 'origin', (policy): Handler<GatewayEnv> => {
    const { origin } = policy
    if (policy.mode === 'off') return (c) => forwardTo(c, origin)
    const source = batchOf(policy.key)
    const guard = source === null ? protect : batchCodeOf(source).perItem(policy, source, protect)
    return requireScope(policy, guard)

    async function protect(c: Context<GatewayEnv>, next: Next): Promise<Response> {
      if (!isGuarded(c, policy)) {
        // A gateway sends it to its own origin, if no other route answers it.
        if (origin !== undefined || isLeftHere(c)) return forwardTo(c, origin)
        await next()
        return c.res
      }
      if (await isOnlyObserved(c, policy)) {
        const observation = await beginObserving(c, policy)
        return endObserving(observation, await forwardTo(c, origin))
      }
      const exchange = openExchange(c, policy)
      try {
        return await forwardOnce(exchange)
      } catch (error) {
        return concludeFault(exchange, error)
      }
    }
  }) as Handler
}

/** Whether nothing after this route answers a request: no other one matches, and the app forwards nothing itself. */
const isLeftHere = (c: Context<GatewayEnv>) =>
  isLastRoute(c) && !(hasScope(c) && scopeOf(c).isGateway)

/** The steps of a protected request, in their order. */
async function forwardOnce(exchange: Exchange): Promise<Response> {
  requireParts(exchange, 'origin')
  // Key, tenant, payload, fingerprint.
  const reading = await readOperation(exchange)
  if (reading.kind === 'no-operation') {
    await exchange.payload.restore()
    return forwardTo(exchange.c, exchange.policy.origin)
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
  const { c, policy } = exchange
  if (isBodyless(c.req.method) && admitted.body.byteLength > 0) return rejected(strayBody())
  const call = toExecuteCall(exchange, admitted)
  const route = { path: call.claim.reauthorizePath, origin: policy.origin }
  const answer = await answerCall(exchange, call)
  const allowed = await reauthorize(c, answer, call.plan.request.headers, route)
  return explain(exchange, admitted, allowed)
}

/**
 * Lets the object of the operation make the call, or makes it here if one object holds many operations:
 * the platform gives it few connections. A Worker may end soon after its response, so the call of a
 * client that comes back for the result is made by an object of its own.
 */
function answerCall({ c, policy }: Exchange, call: ExecuteCall): Promise<Answer> {
  const deployed = deployedPlacement()
  const { operationId, origin } = call.claim
  if (!hasShards(deployed.placement)) {
    const ask = (object: OperationGuard, { movedAt }: GuardPlace) =>
      methodsFor(object, origin).execute(
        movedAt === null ? call : { ...call, claim: { ...call.claim, movedAt } },
      )
    return askObject(c, operationId, ask, { memory: call.claim })
  }
  const forwarded = { ...call, leaseMs: policy.lease, deployed }
  if (call.caller.isAsync) {
    const caller = { operationId, name: callerNameOf(operationId) }
    // Asked once: the one that was asked before may still make the call, under the same claim.
    return askAt(c, caller, (object) => methodsFor(object, origin).forward(forwarded), 1)
  }
  const waitUntil = (work: Promise<unknown>) => keepAlive(c, work)
  const answering = forwardCall({ env: c.env, waitUntil }, forwarded)
  // From before the claim on: a claim that nobody hears of would stand until its lease is over.
  waitUntil(answering)
  return answering
}

function toExecuteCall(exchange: Exchange, admitted: Admitted): ExecuteCall {
  const { c, policy } = exchange
  const { origin } = policy
  const { body, fields, key } = admitted
  const { operationId, tenant } = admitted.claim
  const forwardedKey = keyForOrigin(policy.forwardKey, operationId, key)
  const request: OriginRequest = {
    method: c.req.method,
    path: requireOrigin(c.env, origin).pathOf(forwardedPathOf(c)),
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
      ...(origin !== undefined && { origin }),
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
