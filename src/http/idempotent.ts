import type { Context, MiddlewareHandler, Next } from 'hono'

import type { Policy, PolicyOptions } from '../config/policy.ts'
import { errorName } from '../core/error-name.ts'
import { type Answer, NO_TIME } from '../core/operation/answer.ts'
import type { Keeping } from '../core/operation/operation-guard.ts'
import { decideLanding, type Landing } from '../core/outcome/landing.ts'
import { isAnswerStatus } from '../core/outcome/outcome.ts'
import { isGatewayField } from '../core/wire/headers.ts'
import { logFault } from '../metrics/log.ts'
import { requireOrigin } from '../origin/target.ts'
import {
  claimAt,
  type Held,
  memoryOf,
  settle,
  streamTo,
  underLease,
} from '../platform/held-claim.ts'
import { announce } from './announce.ts'
import { landingRulesOf, planCall } from './call-plan.ts'
import {
  conclude,
  concludeFault,
  concludeOperation,
  isLetThrough,
  mark,
  toGuardLost,
} from './conclude.ts'
import { openOutbox, runUnrecorded, takeEmitted } from './emit.ts'
import { isOnlyObserved } from './enforcement.ts'
import { type Admitted, type Exchange, learn, openExchange } from './exchange.ts'
import { explain, explanationOf } from './explain-mismatch.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { callHandler, toResponse } from './handler-reply.ts'
import { keepAlive } from './keep-alive.ts'
import { beginObserving, endObserving } from './observe.ts'
import { originHeadersOf } from './origin-headers.ts'
import { restoreBody } from './payload.ts'
import { readOperation } from './read-operation.ts'
import { reauthorize } from './reauthorize.ts'
import { isGuarded, withPolicy } from './route-policy.ts'
import { rejected, toVerdict, UNPROTECTED, unprotectedLost, type Verdict } from './verdict.ts'

/**
 * Protects handlers that run in the Worker: they run for the first request with a key, and every
 * retry receives the stored response.
 *
 * The Worker holds the operation under a lease, which is renewed while the handler runs. If a handler
 * throws, or its Worker dies, the outcome is unknown. If it throws an `HTTPException`, the status of
 * the exception is the response.
 *
 * @param options The route's policy. `docs/policy.md` lists the fields. With an invalid policy, the
 *   Worker does not start.
 * @example app.post('/grants', idempotent({ wait: 0 }), async (c) => c.json(await grant(c), 201))
 */
export function idempotent(options: PolicyOptions = {}): MiddlewareHandler<GatewayEnv> {
  return withPolicy(options, 'worker', (parsed): MiddlewareHandler<GatewayEnv> => {
    // The object cannot run a handler, so it stores no request.
    const policy = { ...parsed, durable: false }
    return async function idempotent(c, next) {
      if (policy.mode === 'off' || !isGuarded(c, policy)) return runUnrecorded(c, next)
      const response = await respond(c, next, policy)
      // Assigning `c.res` merges the old headers into the new response. That is right for headers of a
      // middleware, and wrong for those of the handler.
      if (handled.has(c.req)) c.res = undefined
      c.res = response
    }
  })
}

/** Requests whose handler has run. */
const handled = new WeakSet<object>()

async function respond(c: Context<GatewayEnv>, next: Next, policy: Policy): Promise<Response> {
  if (await isOnlyObserved(c, policy)) {
    const observation = await beginObserving(c, policy)
    return endObserving(observation, await handleUntouched(c, next))
  }
  const exchange = openExchange(c, policy)
  try {
    return await handleOnce(exchange, next)
  } catch (error) {
    return concludeFault(exchange, error)
  }
}

/** The steps of a protected request, in their order. */
async function handleOnce(exchange: Exchange, next: Next): Promise<Response> {
  // Key, tenant, payload, fingerprint.
  const reading = await readOperation(exchange)
  if (reading.kind === 'no-operation') {
    await exchange.payload.restore()
    return handleUntouched(exchange.c, next)
  }
  if (reading.kind === 'refused') return conclude(exchange, rejected(reading.problem))
  if (reading.kind === 'keyless') {
    const response = await handleUnprotected(exchange, next, await exchange.payload.soFar())
    return announce(exchange, response, 'key-missing')
  }
  const { admitted } = reading
  const askedAt = Date.now()
  // Claim, handlers, settle.
  const work = execute(exchange, next, admitted)
  keepAlive(exchange.c, work)
  const verdict = await work.catch(toGuardLost)
  if (isLetThrough(exchange, verdict)) return handleUnprotected(exchange, next, admitted.body)
  learn(exchange, { guardMs: Date.now() - askedAt })
  // Answer.
  return concludeOperation(exchange, admitted, verdict)
}

/** Runs the handlers as if the route were not protected. */
async function handleUntouched(c: Context<GatewayEnv>, next: Next): Promise<Response> {
  handled.add(c.req)
  await runUnrecorded(c, next)
  return c.res
}

/**
 * Runs the handlers without protection, and answers with the headers of a protected route.
 *
 * @param body The body, if it was read already.
 */
async function handleUnprotected(
  exchange: Exchange,
  next: Next,
  body: Admitted['body'] | null,
): Promise<Response> {
  const { c } = exchange
  if (body !== null) restoreBody(c, body)
  handled.add(c.req)
  await runUnrecorded(c, next).catch((error: unknown) => {
    logFault('a handler threw', new Error(errorName(error)))
    c.res = new Response('Internal Server Error', { status: 500 })
  })
  const { status, body: answer } = c.res
  return isAnswerStatus(status)
    ? mark(exchange, withoutGatewayFields(new Response(answer, c.res)), UNPROTECTED)
    : conclude(exchange, unprotectedLost(status))
}

/** Removes the headers that only the gateway may set. */
function withoutGatewayFields(response: Response): Response {
  const names = [...response.headers.keys()].filter(isGatewayField)
  for (const name of names) response.headers.delete(name)
  return response
}

/** Claims the operation under a lease and runs the handlers, or answers from its record. */
async function execute(exchange: Exchange, next: Next, admitted: Admitted): Promise<Verdict> {
  const { c, policy } = exchange
  // The origin is needed later, so a missing one must be found now.
  if (policy.reauthorize !== undefined || typeof policy.unknown === 'object') requireOrigin(c.env)
  const headers = originHeadersOf(c, { fields: admitted.fields })
  const { claim, caller, keeping } = planCall(exchange, admitted, headers)
  const request = { ...claim, isAccepted: false, leaseMs: policy.lease }
  const explanation = explanationOf(admitted)
  const { answer, ask } = await claimAt(c, request, (object, at) =>
    object.claim(at, caller, { explanation }),
  )
  if (answer.kind !== 'granted') {
    const allowed = await reauthorize(c, answer, headers, claim.reauthorizePath)
    return explain(exchange, admitted, allowed)
  }
  restoreBody(c, admitted.body)
  const { doubtMs = null } = answer
  const held = {
    ask,
    claim: () => answer.claim,
    leaseMs: policy.lease,
    waitUntil: (work: Promise<unknown>) => keepAlive(c, work),
    keeping,
    doubtMs,
  }
  // The lease also covers the settle, which may be late.
  const ended = await underLease(held, () => handleAndSettle(exchange, next, admitted, held))
  return toVerdict(ended, policy)
}

/** A claim whose handlers this Worker runs. */
interface Claimed extends Held {
  readonly keeping: Keeping
  /** For how many milliseconds the outcome of an earlier call has been unknown; `null` if there is none. */
  readonly doubtMs: number | null
}

async function handleAndSettle(
  exchange: Exchange,
  next: Next,
  admitted: Admitted,
  held: Claimed,
): Promise<Answer> {
  const { c, policy } = exchange
  const startedAt = Date.now()
  const { keeping, doubtMs } = held
  const claim = held.claim()
  handled.add(c.req)
  openOutbox(c)
  const rules = landingRulesOf(exchange, admitted.call)
  const judging = { rules, limitBytes: policy.limits.response, isInDoubt: doubtMs !== null }
  const reply = await callHandler(c, next, judging)
  const events = takeEmitted(c, claim, admitted.claim.tenant)
  const { fence } = claim
  const took = () => ({ ...NO_TIME, originMs: Date.now() - startedAt })
  if (reply.kind === 'streams') {
    const { head, body } = reply
    const call = { ...head, claim, rules, limitBytes: judging.limitBytes, body, keeping, events }
    const response = await streamTo(held, call).catch(toAnswerLost)
    // The outcome of a JSON-RPC call is not known before its response.
    const isKnown = rules.rpcId === undefined
    const memory = isKnown && { rememberedMs: head.directives.retentionMs ?? policy.retention }
    const work = { originCalls: 0, settle: null }
    return { kind: 'executed', response, outcome: null, fence, timing: took(), work, ...memory }
  }
  const landing =
    reply.kind === 'threw' ? HANDLER_THREW : decideLanding(reply, rules, judging.isInDoubt)
  const ending = { ...landing, claim, sealKey: keeping.sealKey, events }
  const work = { originCalls: 0, settle: await settle(held, ending) }
  const { outcome } = landing
  const timing = took()
  const ageMs = outcome === 'unknown' && doubtMs !== null ? doubtMs + timing.originMs : 0
  const ended = { outcome, fence, timing, work, ageMs }
  if (reply.kind === 'fault') return { ...reply, ...ended, kind: 'lost' }
  const response = reply.kind === 'threw' ? reply.response : toResponse(reply)
  return {
    kind: 'executed',
    response,
    ...ended,
    ...memoryOf(landing.settlement, work.settle, policy.retention),
  }
}

/** Wraps the error, so that it is not taken for one before the claim: the handler has run. */
function toAnswerLost(cause: unknown): never {
  throw new Error('The answer of a handler was lost.', { cause })
}

const HANDLER_THREW: Landing = {
  outcome: 'unknown',
  settlement: {
    outcome: 'unknown',
    reason: 'handler-threw',
    evidence: { originStatus: null, fault: null },
  },
  end: { kind: 'fault', fault: 'lost', outcome: 'unknown', originStatus: null },
}
