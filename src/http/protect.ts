import type { Context, Handler, Next } from 'hono'
import { routePath } from 'hono/route'

import type { Policy, PolicyOptions } from '../config/policy.ts'
import { toClientHeaders, toHeaders } from '../core/headers.ts'
import { batchOf, hasMcp } from '../core/key-source.ts'
import type { ExecuteCall } from '../core/operation-guard.ts'
import type { OriginRequest } from '../core/origin-request.ts'
import { isAnswerStatus } from '../core/outcome.ts'
import { withoutObeyed } from '../core/prefer.ts'
import { problem } from '../core/problem.ts'
import { boundRetry } from '../core/retry.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { requireOrigin } from '../origin/target.ts'
import { askObject } from '../platform/ask-object.ts'
import type { Admitted } from './admit.ts'
import { perItem } from './batch.ts'
import { IDENTITY } from './client-coding.ts'
import { explain } from './compare.ts'
import { conclude, mark, type Subject } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { guard } from './guard.ts'
import { keepingOf } from './keeping.ts'
import { originHeadersOf } from './origin-headers.ts'
import { readOuterRetry } from './outer-retry.ts'
import { passThrough } from './pass-through.ts'
import { isBodyless } from './payload.ts'
import { boundsOf, callerOf, landingRulesOf, reauthorizePathOf, recoveryOf } from './plan.ts'
import { reauthorize } from './reauthorize.ts'
import { requestUrlOf } from './request-url.ts'
import { isGuarded, withPolicy } from './route-policy.ts'
import { rejected, UNPROTECTED, unprotectedLost } from './verdict.ts'

/**
 * Makes a route safe to repeat: the first request with a key is forwarded to the origin, every
 * repeat is answered with what came back.
 *
 * @param options The route's policy; `docs/policy.md` lists the fields. A bad one fails at start.
 * @example app.post('/payments', protect({ retention: '72h' }))
 */
export function protect(options: PolicyOptions = {}): Handler<GatewayEnv> {
  return withPolicy(options, 'origin', (policy): Handler<GatewayEnv> => {
    if (policy.mode === 'off') return passThrough
    const source = batchOf(policy.key)
    return source === null ? protect : perItem(policy, source, protect)

    async function protect(c: Context<GatewayEnv>, next: Next): Promise<Response> {
      if (!isGuarded(c, policy)) {
        await next()
        return c.res
      }
      return guard(c, policy, {
        untouched: async () => passThrough(c),
        unprotected: (subject, body) => forwardUnprotected(c, policy, subject, body),
        async admitted(admitted) {
          requireOrigin(c.env)
          if (isBodyless(c.req.method) && admitted.body.byteLength > 0) return rejected(STRAY_BODY)
          const call = await toExecuteCall(c, policy, admitted)
          const { operationId } = admitted.claim
          const answer = await askObject(c, operationId, (object) => object.execute(call))
          const { headers } = call.plan.request
          const allowed = await reauthorize(c, answer, headers, call.claim.reauthorizePath)
          return explain(c, policy, admitted, allowed)
        },
      })
    }
  })
}

/** Sent again from what is stored it would have to be made anew, and such a request cannot be. */
const STRAY_BODY = problem(
  'payload-invalid',
  'A GET or HEAD request with a body cannot be forwarded here: such a body has no meaning (RFC 9110 §9.3.1). Send it without one.',
)

async function toExecuteCall(
  c: Context<GatewayEnv>,
  policy: Policy,
  admitted: Admitted,
): Promise<ExecuteCall> {
  const { body, key } = admitted
  const { operationId } = admitted.claim
  const forwardedKey = { derived: operationId, client: key, none: null }[
    policy.forwardKey || 'none'
  ]
  const request: OriginRequest = {
    method: c.req.method,
    path: forwardedPathOf(c),
    // What the gateway has obeyed would be obeyed twice.
    headers: withoutObeyed(headersFor(c, policy, forwardedKey)),
    body: c.req.raw.body === null || isBodyless(c.req.method) ? null : body,
  }
  const recovery = recoveryOf(c, policy, admitted)
  const caller = await callerOf(c, policy, admitted, request.headers)
  const keeping = keepingOf(c, policy, caller.sealKeys)
  const { retry } = policy
  return {
    claim: {
      ...admitted.claim,
      recovery,
      isAccepted: caller.isAsync,
      reauthorizePath: reauthorizePathOf(policy, admitted.claim),
      leaseMs: null,
    },
    caller,
    plan: {
      request,
      tenant: admitted.claim.tenant,
      bounds: boundsOf(policy),
      rules: landingRulesOf(c, policy, admitted.call),
      retry,
      retryBounds: boundRetry(retry, readOuterRetry(c.req.raw.headers), Date.now()),
      keeping,
    },
    isStored: policy.durable,
  }
}

/** Path and query for the origin. What a pattern leaves open may hold a URL: its slashes stay. */
function forwardedPathOf(c: Context<GatewayEnv>): string {
  const { forwarded, untouched } = requestUrlOf(c)
  return /[*{]/.test(routePath(c)) ? untouched : forwarded
}

/** @param key What the origin gets as `Idempotency-Key`, if anything. */
function headersFor(c: Context<GatewayEnv>, policy: Policy, key: string | null): HeaderField[] {
  // The answer to one JSON-RPC call becomes the answer to another, and must be read for that.
  return originHeadersOf(c, hasMcp(policy.key) ? { key, encodings: IDENTITY } : { key })
}

/**
 * Forwards as it comes and answers as it comes, with the headers of a protected route.
 *
 * @param body What was read of the request already, or `null`.
 */
async function forwardUnprotected(
  c: Context<GatewayEnv>,
  policy: Policy,
  subject: Subject,
  body: Admitted['body'] | null,
): Promise<Response> {
  const origin = requireOrigin(c.env)
  // Where the store failed, an origin that knows repeats by their key is still protected.
  const key = policy.forwardKey === 'derived' ? subject.operationId : null
  const watch = new AbortController()
  const timer = setTimeout(() => watch.abort(), policy.timeout)
  try {
    const request = copyOf(c.req.raw, origin.urlOf(requestUrlOf(c).untouched), body)
    const fromOrigin = await origin.fetch(request, {
      headers: toHeaders(headersFor(c, policy, key)),
      redirect: 'manual',
      encodeResponseBody: 'manual',
      signal: watch.signal,
    })
    const { status, body: answer } = fromOrigin
    if (!isAnswerStatus(status)) {
      answer?.cancel().catch(() => {})
      return conclude(c, subject, unprotectedLost(status))
    }
    const headers = toHeaders(toClientHeaders(fromOrigin.headers))
    const response = new Response(answer, { status, headers, encodeBody: 'manual' })
    return mark(c, response, subject, UNPROTECTED)
  } catch {
    return conclude(c, subject, unprotectedLost(watch.signal.aborted ? 'timeout' : 'lost'))
  } finally {
    clearTimeout(timer)
  }
}

/** A request that is made anew, but for one that can only be handed on; where its body was read, without it. */
function copyOf(incoming: Request, url: string, body: Admitted['body'] | null): Request {
  const { method, body: stream } = incoming
  if (isBodyless(method))
    return incoming.bodyUsed ? new Request(url, { method }) : new Request(url, incoming)
  return new Request(url, { method, body: stream === null ? null : (body ?? stream) })
}
