import type { Context, MiddlewareHandler, Next } from 'hono'

import { TENANT_FIELD } from '../config/deployed-functions.ts'
import type { Policy, PolicyOptions } from '../config/policy.ts'
import { claimLost } from '../core/hapax-error.ts'
import { type Answer, NO_TIME } from '../core/operation/answer.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import type { Keeping } from '../core/operation/operation-guard.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import { decideLanding, type Landing } from '../core/outcome/landing.ts'
import { isAnswerStatus } from '../core/outcome/outcome.ts'
import { isGatewayField } from '../core/wire/headers.ts'
import {
  claimAt,
  type Held,
  memoryOf,
  settle,
  streamTo,
  underLease,
} from '../platform/held-claim.ts'
import { methodsFor } from '../platform/methods-for.ts'
import { sealRequest } from '../platform/stored-request.ts'
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
import { type GatewayEnv, type HapaxVariables, onceOf } from './gateway-env.ts'
import { callHandler, toResponse } from './handler-reply.ts'
import { keepAlive } from './keep-alive.ts'
import { beginObserving, endObserving } from './observe.ts'
import { operationContext, unprotectedContext } from './operation-context.ts'
import { originHeadersOf } from './origin-headers.ts'
import { restoreBody } from './payload.ts'
import { readOperation } from './read-operation.ts'
import { reauthorize } from './reauthorize.ts'
import { nameWork, reportError } from './report-error.ts'
import { requireScope } from './require-scope.ts'
import { requireParts } from './requirements.ts'
import { isGuarded, operationOf, withPolicy } from './route-policy.ts'
import { rejected, toVerdict, UNPROTECTED, unprotectedLost, type Verdict } from './verdict.ts'

/**
 * Protects handlers that run in the Worker: they run for the first request with a key, and every
 * retry receives the stored response.
 *
 * The Worker holds the operation under a lease, which is renewed while the handler runs. If a handler
 * throws, or its Worker dies, the outcome is unknown. If it throws an `HTTPException`, the status of
 * the exception decides, and a `NotExecuted` frees the key.
 *
 * @param options The route's policy. `docs/policy.md` lists the fields. With an invalid policy, the
 *   Worker does not start.
 * @example app.post('/grants', idempotent({ wait: 0 }), async (c) => c.json(await grant(c), 201))
 */
export function idempotent(options: PolicyOptions = {}): MiddlewareHandler<HapaxVariables> {
  // The object cannot run a handler, so it stores no request.
  return withPolicy(options, 'worker', (policy) => guardHandler({ ...policy, durable: false }))
}

/** As `idempotent`, for a function that the object can run as well: `durable` stores its request. */
export function idempotentFunction(options: PolicyOptions): MiddlewareHandler<GatewayEnv> {
  return withPolicy(options, 'worker', guardHandler)
}

function guardHandler(policy: Policy): MiddlewareHandler {
  return requireScope(policy, async function idempotent(c, next) {
    if (policy.mode === 'off' || !isGuarded(c, policy)) return runReported(c, next, policy)
    const response = await respond(c, next, policy)
    // Assigning `c.res` merges the old headers into the new response. That is right for headers of a
    // middleware, and wrong for those of the handler.
    if (handled.has(c.req)) c.res = undefined
    c.res = response
  }) as MiddlewareHandler
}

/** Requests whose handler has run. */
const handled = new WeakSet<object>()

async function respond(c: Context<GatewayEnv>, next: Next, policy: Policy): Promise<Response> {
  if (await isOnlyObserved(c, policy)) {
    const observation = await beginObserving(c, policy)
    return endObserving(observation, await handleUntouched(c, next, policy))
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
  requireParts(exchange, 'worker')
  // Key, tenant, payload, fingerprint.
  const reading = await readOperation(exchange)
  if (reading.kind === 'no-operation') {
    await exchange.payload.restore()
    return handleUntouched(exchange.c, next, exchange.policy)
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
async function handleUntouched(
  c: Context<GatewayEnv>,
  next: Next,
  policy: Policy,
): Promise<Response> {
  handled.add(c.req)
  await runReported(c, next, policy)
  return c.res
}

/** Runs the handlers without a record, and reports what they throw. */
async function runReported(c: Context<GatewayEnv>, next: Next, policy: Policy): Promise<void> {
  nameWork(c, operationOf(c, policy), c.get('hapax') ?? unprotectedContext(c))
  await runUnrecorded(c, next).catch((error: unknown) => {
    reportError(c, error)
    throw error
  })
  if (c.error !== undefined) reportError(c, c.error)
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
  const { c, policy } = exchange
  if (body !== null) restoreBody(c, body)
  handled.add(c.req)
  c.set('hapax', unrecordedContext(exchange))
  await runReported(c, next, policy).catch(() => {
    c.res = new Response('Internal Server Error', { status: 500 })
  })
  const { status, body: answer } = c.res
  return isAnswerStatus(status)
    ? mark(exchange, withoutGatewayFields(new Response(answer, c.res)), UNPROTECTED)
    : conclude(exchange, unprotectedLost(status))
}

/** If the store failed, an API that deduplicates by the key is still protected. */
function unrecordedContext({ c, policy, known }: Exchange): OperationContext {
  const { operationId, tenant } = known
  const key = policy.forwardKey === 'derived' ? operationId : null
  return { ...unprotectedContext(c), operationId, tenant, key }
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
  const headers = originHeadersOf(c, { fields: admitted.fields })
  const { claim, caller, keeping } = planCall(exchange, admitted, headers)
  const { stored, origin } = await storedCall(exchange, admitted, { headers, keeping })
  const request = { ...claim, ...origin, isAccepted: false, leaseMs: policy.lease }
  const details = { explanation: explanationOf(admitted), ...stored }
  const { answer, ask } = await claimAt(c, request, (object, at) =>
    methodsFor(object, request.origin).claim(at, caller, details),
  )
  if (answer.kind !== 'granted') {
    const route = { path: claim.reauthorizePath, origin: policy.origin }
    const allowed = await reauthorize(c, answer, headers, route)
    return explain(exchange, admitted, allowed)
  }
  restoreBody(c, admitted.body)
  const { doubtMs = null, lastDoubtMs = null } = answer
  const handling = new Handling()
  const held = {
    ask,
    claim: () => answer.claim,
    leaseMs: policy.lease,
    waitUntil: (work: Promise<unknown>) => keepAlive(c, work),
    onLost: () => handling.lose(),
    handling,
    keeping,
    doubtMs,
    lastDoubtMs,
  }
  // The lease also covers the settle, which may be late.
  const ended = await underLease(held, () => handleAndSettle(exchange, next, admitted, held))
  return toVerdict(ended, policy)
}

/** What is stored with a claim, so that the object can run the function without its caller. */
async function storedCall(
  { c, policy }: Exchange,
  { claim: { operationId, tenant }, body }: Admitted,
  { headers, keeping: { sealKey } }: { headers: readonly HeaderField[]; keeping: Keeping },
) {
  const origin = onceOf(c.env)?.origin ?? null
  if (!policy.durable || origin === null) return {}
  const own: HeaderField[] = [
    ['idempotency-key', operationId],
    [TENANT_FIELD, encodeURIComponent(tenant)],
  ]
  const { method, path } = c.req
  const request = { method, path, headers: [...headers, ...own], body }
  const bytes = await sealRequest(c.env, operationId, { request, sealKey })
  const forwarding = { stored: bytes, circuitMs: null, call: null }
  return { stored: { forwarding }, origin: { origin } }
}

/** A claim whose handlers this Worker runs. */
interface Claimed extends Held {
  readonly handling: Handling
  readonly keeping: Keeping
  /** For how many milliseconds the outcome of an earlier call has been unknown; `null` if there is none. */
  readonly doubtMs: number | null
  /** The same for the last such call alone. */
  readonly lastDoubtMs: number | null
}

/** Handlers that run for a claim. They are told when it is lost. */
class Handling {
  readonly #controller = new AbortController()
  #hasEnded = false

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** From here on the claim ends by its settle. */
  end(): void {
    this.#hasEnded = true
  }

  lose(): void {
    if (!this.#hasEnded) this.#controller.abort(claimLost())
  }
}

async function handleAndSettle(
  exchange: Exchange,
  next: Next,
  admitted: Admitted,
  held: Claimed,
): Promise<Answer> {
  const { c, policy } = exchange
  const startedAt = Date.now()
  const { keeping, doubtMs, lastDoubtMs, handling } = held
  const claim = held.claim()
  handled.add(c.req)
  openOutbox(c)
  const { forwardKey } = policy
  const { operation, tenant } = admitted.claim
  const execution = { fence: claim.fence, inDoubtMs: lastDoubtMs, signal: handling.signal }
  const context = operationContext(c, admitted, { ...execution, forwardKey })
  c.set('hapax', context)
  nameWork(c, operation, context)
  const rules = landingRulesOf(exchange, admitted.call)
  const judging = { rules, limitBytes: policy.limits.response, isInDoubt: doubtMs !== null }
  const reply = await callHandler(c, next, judging)
  handling.end()
  const events = takeEmitted(c, claim, tenant)
  const { fence } = claim
  const took = () => ({ ...NO_TIME, originMs: Date.now() - startedAt })
  if (reply.kind === 'streams') {
    const { head, body } = reply
    const call = { ...head, claim, rules, limitBytes: judging.limitBytes, body, keeping, events }
    const response = await streamTo(held, call).catch(toAnswerLost)
    // The outcome of a JSON-RPC call is not known before its response.
    const isKnown = rules.rpcId === undefined
    const memory = isKnown && { rememberedMs: head.directives.retentionMs ?? policy.retention }
    const settle = response.isLate === true ? 'refused' : null
    const work = { originCalls: 0, settle } as const
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

/** How a claim lands whose code has failed: nobody knows what it did before. */
export const HANDLER_THREW: Landing = {
  outcome: 'unknown',
  settlement: {
    outcome: 'unknown',
    reason: 'handler-threw',
    evidence: { originStatus: null, fault: null },
  },
  end: { kind: 'fault', fault: 'lost', outcome: 'unknown', originStatus: null },
}
