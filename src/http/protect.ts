import type { Context, Handler } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { Policy, PolicyOptions } from '../config/policy.ts'
import { toClientHeaders, toHeaders, toOriginHeaders } from '../core/headers.ts'
import { encodeOriginRequest, type OriginRequest } from '../core/origin-request.ts'
import { boundRetry } from '../core/retry.ts'
import { seal } from '../core/seal.ts'
import type { HeaderField } from '../core/snapshot.ts'
import type { ExecuteCall } from '../durable/operation-guard.ts'
import { pathOf, requireOrigin } from '../origin/target.ts'
import type { Admitted } from './admit.ts'
import { mark, type Subject } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { guard } from './guard.ts'
import { askObject } from './object.ts'
import { readOuterRetry } from './outer-retry.ts'
import { passThrough } from './pass-through.ts'
import { boundsOf, callerOf, landingRulesOf, recoveryOf } from './plan.ts'
import { withPolicy } from './route-policy.ts'
import { toVerdict, UNPROTECTED } from './verdict.ts'

/**
 * Makes a route safe to repeat: the first request with a key is forwarded to the origin, every
 * repeat is answered with what came back.
 *
 * @param options The route's policy; `docs/policy.md` lists the fields. A bad one fails at start.
 * @example app.post('/payments', protect({ retention: '72h' }))
 */
export function protect(options: PolicyOptions = {}): Handler<GatewayEnv> {
  return withPolicy(options, (policy): Handler<GatewayEnv> => {
    if (policy.mode === 'off') return passThrough
    return async function protect(c) {
      requireOrigin(c.env)
      return guard(c, policy, {
        unprotected: (subject, body) => forwardUnprotected(c, subject, body),
        async admitted(admitted) {
          const call = await toExecuteCall(c, policy, admitted)
          const { operationId } = admitted.claim
          return toVerdict(
            await askObject(c, operationId, (object) => object.execute(call)),
            policy,
          )
        },
      })
    }
  })
}

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
    path: pathOf(c.req.raw.url),
    headers: originHeadersOf(c, forwardedKey),
    body: c.req.raw.body === null ? null : body,
  }
  const recovery = recoveryOf(c, policy, admitted.claim)
  const isStored = policy.durable && recovery.kind !== 'hold'
  const { retry } = policy
  return {
    claim: { ...admitted.claim, recovery, leaseMs: null },
    caller: callerOf(c, policy, request.headers),
    plan: {
      request,
      bounds: boundsOf(policy),
      rules: landingRulesOf(c, policy),
      retry,
      retryBounds: boundRetry(retry, readOuterRetry(c.req.raw.headers), Date.now()),
    },
    stored: isStored ? await toStored(c.env, operationId, request) : null,
  }
}

/** The request as it is kept for a recovery without a client; sealed where there is a secret. */
async function toStored(env: HapaxEnv, operationId: string, request: OriginRequest) {
  const bytes = encodeOriginRequest(request)
  return env.HAPAX_SEAL_KEY ? seal(env.HAPAX_SEAL_KEY, operationId, bytes) : bytes
}

/**
 * What the origin gets of the request's headers, with the gateway's own.
 *
 * @param key What it gets as `Idempotency-Key`, if anything.
 */
function originHeadersOf(c: Context<GatewayEnv>, key: string | null): HeaderField[] {
  const { correlationId, traceparent } = c.var.hapax.correlation
  const own: HeaderField[] = [
    ['x-correlation-id', correlationId],
    ['traceparent', traceparent],
  ]
  if (key !== null) own.push(['idempotency-key', key])
  const encodings = clientEncodings(c.req.raw)
  if (encodings !== null) own.push(['accept-encoding', encodings])
  const replaced = new Set(own.map(([name]) => name))
  return [...toOriginHeaders(c.req.raw.headers).filter(([name]) => !replaced.has(name)), ...own]
}

/** Forwards as it comes and answers as it comes, with the headers of a protected route. */
async function forwardUnprotected(
  c: Context<GatewayEnv>,
  subject: Subject,
  body: Admitted['body'] | null,
): Promise<Response> {
  const origin = requireOrigin(c.env)
  const { method, url, body: stream } = c.req.raw
  const fromOrigin = await origin.fetch(origin.urlOf(pathOf(url)), {
    method,
    headers: toHeaders(originHeadersOf(c, null)),
    body: stream === null ? null : (body ?? stream),
    redirect: 'manual',
    encodeResponseBody: 'manual',
  })
  const { status, body: answer } = fromOrigin
  const headers = toHeaders(toClientHeaders(fromOrigin.headers))
  const response = new Response(answer, { status, headers, encodeBody: 'manual' })
  return mark(c, response, subject, UNPROTECTED)
}

/**
 * The encodings that the client itself accepts. The platform writes its own into the header and
 * translates for the client; a snapshot should hold what this client can read.
 */
function clientEncodings(request: Request): string | null {
  const accepted = request.cf?.['clientAcceptEncoding']
  return typeof accepted === 'string' ? accepted || 'identity' : null
}
