import type { Context, Handler } from 'hono'

import type { Policy, PolicyOptions } from '../config/policy.ts'
import { toOriginHeaders } from '../core/headers.ts'
import type { HeaderField } from '../core/snapshot.ts'
import type { OriginRequest } from '../origin/call.ts'
import { NO_ORIGIN, originOf } from '../origin/target.ts'
import type { Admitted } from './admit.ts'
import { mark, type Subject } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { guard, joinRulesOf, objectOf } from './guard.ts'
import { passThrough } from './pass-through.ts'
import { withPolicy } from './route-policy.ts'
import { toVerdict, UNPROTECTED, type Verdict } from './verdict.ts'

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
      if (originOf(c.env) === null) throw new Error(NO_ORIGIN)
      const response = await guard(c, policy, {
        unprotected: (subject) => forwardUnprotected(c, subject),
        admitted: (admitted) => execute(c, policy, admitted),
      })
      return response ?? c.notFound()
    }
  })
}

async function execute(
  c: Context<GatewayEnv>,
  policy: Policy,
  admitted: Admitted,
): Promise<Verdict> {
  const join = joinRulesOf(c, policy)
  const answer = await objectOf(c, admitted.claim.operationId).execute({
    claim: { ...admitted.claim, leaseMs: null },
    request: toOriginRequest(c, policy, admitted),
    join,
    bounds: { timeoutMs: policy.timeout, limitBytes: policy.limits.response },
    rules: {
      outcomes: policy.outcomes,
      snapshot: policy.snapshot,
      corsOrigin: join.corsOrigin,
    },
  })
  return toVerdict(answer, policy)
}

function toOriginRequest(
  c: Context<GatewayEnv>,
  policy: Policy,
  { body, claim, key }: Admitted,
): OriginRequest {
  const { method, url, body: stream, headers } = c.req.raw
  const { pathname, search } = new URL(url)
  const { correlationId, traceparent } = c.var.hapax.correlation
  const own: HeaderField[] = [
    ['x-correlation-id', correlationId],
    ['traceparent', traceparent],
  ]
  if (policy.forwardKey === 'derived') own.push(['idempotency-key', claim.operationId])
  if (policy.forwardKey === 'client') own.push(['idempotency-key', key])
  const encodings = clientEncodings(c.req.raw)
  if (encodings !== null) own.push(['accept-encoding', encodings])
  const replaced = new Set(own.map(([name]) => name))
  const passed = toOriginHeaders(headers).filter(([name]) => !replaced.has(name))
  return {
    method,
    path: pathname + search,
    headers: [...passed, ...own],
    body: stream === null ? null : body,
  }
}

/**
 * The encodings that the client itself accepts. The platform writes its own into the header and
 * translates for the client; a snapshot should hold what this client can read.
 */
function clientEncodings(request: Request): string | null {
  const accepted = request.cf?.['clientAcceptEncoding']
  return typeof accepted === 'string' ? accepted || 'identity' : null
}

async function forwardUnprotected(c: Context<GatewayEnv>, subject: Subject): Promise<Response> {
  const response = await passThrough(c)
  const marked = new Response(response.body, response)
  return mark(c, marked, subject, UNPROTECTED)
}
