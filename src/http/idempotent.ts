import type { Context, MiddlewareHandler, Next } from 'hono'
import { HTTPException } from 'hono/http-exception'

import type { Policy, PolicyOptions } from '../config/policy.ts'
import { NO_TIME, type SettleResult } from '../core/answer.ts'
import { collectBody, type CollectedBody, continueBody } from '../core/body.ts'
import { type AnswerFacts, classifyAnswer } from '../core/classify.ts'
import type { Destination } from '../core/destination.ts'
import { errorName } from '../core/error-name.ts'
import type { CloudEvent } from '../core/event.ts'
import { isGatewayField, toClientHeaders } from '../core/headers.ts'
import { decideLanding, type Landing } from '../core/landing.ts'
import type { Keeping, OperationGuard, SettleCall } from '../core/operation-guard.ts'
import { readOriginDirectives } from '../core/origin-directives.ts'
import { isAnswerStatus } from '../core/outcome.ts'
import type { ClaimRef } from '../core/record.ts'
import type { AnswerHead, Reply, ReplyOf } from '../core/reply.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { logFault } from '../metrics/log.ts'
import { recordDelivery } from '../metrics/record-delivery.ts'
import { dropAnswer } from '../origin/call.ts'
import { isFromProxy } from '../origin/from-proxy.ts'
import { isJudgedByBody, judgeHead, judgeReply, type Judging } from '../origin/judge.ts'
import { requireOrigin } from '../origin/target.ts'
import { deliver } from '../outbox/delivery.ts'
import { askObject } from '../platform/ask-object.ts'
import type { Admitted } from './admit.ts'
import { explain } from './compare.ts'
import { conclude, mark } from './conclude.ts'
import { hasEmitted, openOutbox, takeEmitted } from './emit.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { guard } from './guard.ts'
import { keepingOf } from './keeping.ts'
import { originHeadersOf } from './origin-headers.ts'
import { restoreBody } from './payload.ts'
import { callerOf, landingRulesOf, reauthorizePathOf, recoveryOf } from './plan.ts'
import { reauthorize } from './reauthorize.ts'
import { isGuarded, withPolicy } from './route-policy.ts'
import { toStatus, toVerdict, UNPROTECTED, unprotectedLost, type Verdict } from './verdict.ts'

/**
 * Makes the handlers behind it safe to repeat: they run for the first request with a key, every
 * repeat is answered with what they answered.
 *
 * The Worker holds the operation under a lease, renewed while the handler runs. A handler that
 * throws, or whose Worker goes away, leaves an unknown outcome; one that throws an
 * `HTTPException` has answered with its status.
 *
 * @param options The route's policy; `docs/policy.md` lists the fields. A bad one fails at start.
 * @example app.post('/grants', idempotent({ wait: 0 }), async (c) => c.json(await grant(c), 201))
 */
export function idempotent(options: PolicyOptions = {}): MiddlewareHandler<GatewayEnv> {
  return withPolicy(options, 'worker', (policy): MiddlewareHandler<GatewayEnv> => {
    return async function idempotent(c, next) {
      const callUnrecorded = () => nextUnrecorded(c, next)
      if (policy.mode === 'off' || !isGuarded(c, policy)) return callUnrecorded()
      const response = await guard(c, policy, {
        async untouched() {
          handled.add(c.req)
          await callUnrecorded()
          return c.res
        },
        async unprotected(subject, body) {
          if (body !== null) restoreBody(c, body)
          handled.add(c.req)
          await callUnrecorded().catch((error: unknown) => {
            logFault('a handler threw', new Error(errorName(error)))
            c.res = new Response('Internal Server Error', { status: 500 })
          })
          const { status, body: answer } = c.res
          return isAnswerStatus(status)
            ? mark(c, withoutGatewayFields(new Response(answer, c.res)), subject, UNPROTECTED)
            : conclude(c, subject, unprotectedLost(status))
        },
        admitted: (admitted) => keepAlive(c, run(c, next, policy, admitted)),
      })
      // An assignment over a response merges its headers into the new one (Hono's `Context.res`):
      // right for those that a middleware has set, wrong for those of the handler.
      if (handled.has(c.req)) c.res = undefined
      c.res = response
    }
  })
}

/** What only the gateway says, a handler does not say in its place. */
function withoutGatewayFields(response: Response): Response {
  const names = [...response.headers.keys()].filter(isGatewayField)
  for (const name of names) response.headers.delete(name)
  return response
}

/** Without a record there is no outbox: what the handler emits is delivered once, or not at all. */
async function nextUnrecorded(c: Context<GatewayEnv>, next: Next): Promise<void> {
  openOutbox(c)
  await next()
  if (c.error !== undefined) return
  const claim = { operationId: crypto.randomUUID(), fence: 1, claimId: crypto.randomUUID() }
  const tenant = hasEmitted(c) ? await tenantOf(c) : ''
  for (const { event, to } of takeEmitted(c, claim, tenant)) {
    c.executionCtx.waitUntil(deliverUnrecorded(c, to, event))
  }
}

/** Whose the request is, where that can be told; nobody is turned away for it here. */
async function tenantOf(c: Context<GatewayEnv>): Promise<string> {
  try {
    const identity = await c.var.hapax.identify(c)
    return identity.kind === 'known' ? identity.tenant : ''
  } catch {
    return ''
  }
}

async function deliverUnrecorded(
  c: Context<GatewayEnv>,
  to: Destination,
  event: CloudEvent,
): Promise<void> {
  const startedAt = Date.now()
  const end = await deliver(c.env, to, event)
  const status = end.kind === 'delivered' ? 'delivered' : 'dead'
  recordDelivery(c.env, { event, operationId: null, status, failures: 0, startedAt })
  if (end.kind !== 'delivered') logFault('an event was not delivered', new Error(end.reason))
}

/** Requests whose handler has run. */
const handled = new WeakSet<object>()

/** The client's leaving does not stop the work, for as long as the platform lets it run on. */
function keepAlive<result>(c: Context, work: Promise<result>): Promise<result> {
  c.executionCtx.waitUntil(work.catch(() => {}))
  return work
}

async function run(
  c: Context<GatewayEnv>,
  next: Next,
  policy: Policy,
  admitted: Admitted,
): Promise<Verdict> {
  // The origin is asked about the operation later: not to find out then that there is none.
  if (policy.reauthorize !== undefined || typeof policy.unknown === 'object') requireOrigin(c.env)
  const { claim, call } = admitted
  const { operationId, tenant } = claim
  const ask: Ask = (question) => askObject(c, operationId, question)
  const headers = originHeadersOf(c)
  const caller = await callerOf(c, policy, admitted, headers)
  const keeping = keepingOf(c, policy, caller.sealKeys)
  const recovery = recoveryOf(c, { ...policy, durable: false }, admitted)
  const reauthorizePath = reauthorizePathOf(policy, claim)
  const request = { ...claim, recovery, reauthorizePath, isAccepted: false, leaseMs: policy.lease }
  const answer = await ask((object) => object.claim(request, caller))
  if (answer.kind !== 'granted') {
    const allowed = await reauthorize(c, answer, headers, reauthorizePath)
    return explain(c, policy, admitted, allowed)
  }

  restoreBody(c, admitted.body)
  const { doubtMs = null } = answer
  const held: Held = { ask, claim: answer.claim, leaseMs: policy.lease }
  // Until the object has what came of it: a settle may be late as well.
  return underLease(held, () =>
    runHandler(c, next, policy, { ...held, call, tenant, keeping, doubtMs }),
  )
}

/** A claim that a Worker holds, and how it asks the object that granted it. */
interface Held {
  readonly ask: Ask
  readonly claim: ClaimRef
  readonly leaseMs: number
}

/** What a handler is run for. */
interface Run extends Held {
  readonly call: Admitted['call']
  readonly tenant: string
  readonly keeping: Keeping
  /** For how many milliseconds an earlier call has left the outcome open; `null` where none has. */
  readonly doubtMs: number | null
}

async function runHandler(
  c: Context<GatewayEnv>,
  next: Next,
  policy: Policy,
  { ask, claim, call, leaseMs, tenant, keeping, doubtMs }: Run,
): Promise<Verdict> {
  const startedAt = Date.now()
  handled.add(c.req)
  openOutbox(c)
  const rules = landingRulesOf(c, policy, call)
  const { response } = policy.limits
  const judging = { rules, limitBytes: response, isInDoubt: doubtMs !== null }
  const reply = await callHandler(c, next, judging)
  const took = () => ({ ...NO_TIME, originMs: Date.now() - startedAt })
  const known = { fence: claim.fence, ageMs: 0 }
  const events = takeEmitted(c, claim, tenant)
  if (reply.kind === 'streams') {
    const { head, body } = reply
    const call = { ...head, claim, rules, limitBytes: judging.limitBytes, body, keeping, events }
    const streamed = await ask((object) => object.stream(call)).catch((cause: unknown) => {
      // The handler has run: whatever the object says, this is not a request that nothing came of.
      throw new Error('The answer of a handler was lost.', { cause })
    })
    const work = { originCalls: 0, settle: null }
    const executed = { ...known, status: 'executed', reply: streamed, outcome: null } as const
    // What a call has come to is not known before its response.
    const memory =
      rules.rpcId === undefined
        ? { rememberedMs: head.directives.retentionMs ?? policy.retention }
        : {}
    return { ...executed, timing: took(), work, ...memory }
  }
  const landing =
    reply.kind === 'threw' ? HANDLER_THREW : decideLanding(reply, rules, judging.isInDoubt)
  const ending = { ...landing, claim, sealKey: keeping.sealKey, events }
  const work = { originCalls: 0, settle: await settle(c, { ask, claim, leaseMs }, ending) }
  const { outcome } = landing
  const timing = took()
  const isSinceLong = outcome === 'unknown' && doubtMs !== null
  const ageMs = isSinceLong ? doubtMs + timing.originMs : 0
  if (reply.kind === 'fault') {
    const { fault, originStatus } = reply
    const lost = { kind: 'lost', fault, outcome, originStatus, timing, work } as const
    return toVerdict({ ...known, ...lost, ageMs }, policy)
  }
  return {
    ...known,
    status: toStatus(outcome),
    reply: reply.response,
    outcome,
    timing,
    work,
    ageMs,
    ...memoryOf(landing, work.settle, policy),
  }
}

/** For how long a result is remembered, where it is stored. */
function memoryOf(
  { settlement }: Landing,
  settle: SettleResult | null,
  { retention }: Policy,
): Pick<Verdict, 'rememberedMs'> {
  const isStored = (settle === 'taken' || settle === 'late') && 'snapshot' in settlement
  return isStored ? { rememberedMs: settlement.retentionMs ?? retention } : {}
}

/** How a handler's answer is judged. */
interface HandlerJudging extends Judging {
  /** Whether an earlier run may have been executed. */
  readonly isInDoubt: boolean
}

/** Asks the object of the operation. */
type Ask = <answer>(question: (object: OperationGuard) => Promise<answer>) => Promise<answer>

type HandlerReply =
  | (Extract<Reply, { kind: 'answer' }> & { readonly response: WireResponse })
  | {
      readonly kind: 'streams'
      readonly head: AnswerHead
      readonly body: ReadableStream<Uint8Array>
    }
  | { readonly kind: 'threw'; readonly response: WireResponse }
  /** What it handed on is no answer that could be passed on. */
  | ReplyOf<'fault'>

const HANDLER_THREW: Landing = {
  outcome: 'unknown',
  settlement: {
    outcome: 'unknown',
    reason: 'handler-threw',
    evidence: { originStatus: null, fault: null },
  },
  end: { kind: 'fault', fault: 'lost', outcome: 'unknown', originStatus: null },
}

/**
 * Runs the handlers. Hono's `next` does not reject when one throws an error: it leaves `c.error`
 * behind. It rejects when something else was thrown.
 */
async function callHandler(
  c: Context<GatewayEnv>,
  next: Next,
  judging: HandlerJudging,
): Promise<HandlerReply> {
  try {
    await next()
    return await readHandlerReply(c, judging)
  } catch (error) {
    // Its message is not ours: it may hold what must not be logged.
    logFault('a handler threw, or its body broke off', new Error(errorName(error)))
    return { kind: 'threw', response: { status: 500, headers: [], body: null } }
  }
}

async function readHandlerReply(
  c: Context<GatewayEnv>,
  judging: HandlerJudging,
): Promise<HandlerReply> {
  const hasThrown = c.error !== undefined && !(c.error instanceof HTTPException)
  const head = toHead(c.res)
  if (!isAnswerStatus(head.status)) return dropAnswer(c.res, head)
  const live = hasThrown ? null : openLive(c.res, head, judging)
  if (live !== null) return live
  const reply = await collectReply(c.res, head, judging)
  if (hasThrown) return { kind: 'threw', response: reply.response }
  const stream = isExecuted(reply, judging) ? toStream(reply.body, judging.limitBytes) : null
  const { said = null } = reply
  return stream === null ? reply : { kind: 'streams', head: { ...head, said }, body: stream }
}

/** @returns `null` for an answer that does not go to the client while it comes: its body may decide what it means. */
function openLive(
  { headers, body }: Response,
  head: AnswerHead,
  judging: HandlerJudging,
): Extract<HandlerReply, { kind: 'streams' }> | null {
  if (body === null || !isStream(headers) || isJudgedByBody(head, judging.rules)) return null
  const judged = judgeHead(head, judging.rules)
  if (!isExecuted(judged, judging)) return null
  // Only byte streams cross RPC.
  return { kind: 'streams', head: judged, body: body.pipeThrough(new IdentityTransformStream()) }
}

async function collectReply(
  { body }: Response,
  head: AnswerHead,
  judging: HandlerJudging,
): Promise<Extract<HandlerReply, { kind: 'answer' }>> {
  const { rules, limitBytes } = judging
  const bytes = isJudgedByBody(head, rules) ? limitBytes : Math.min(limitBytes, BY_VALUE_BYTES)
  return judgeReply(await toReply(head, await collectBody(body, bytes)), judging)
}

/** @returns `null` where the body is handed over by value. */
function toStream(
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  limitBytes: number,
): ReadableStream<Uint8Array> | null {
  if (body instanceof ReadableStream) return body
  const isLarge = body.byteLength > Math.min(limitBytes, BY_VALUE_BYTES)
  return isLarge ? new Response(body).body : null
}

async function toReply(
  head: AnswerHead,
  collected: CollectedBody,
): Promise<Extract<HandlerReply, { kind: 'answer' }>> {
  const { status, headers } = head
  const made = { isFromProxy: await isFromProxy(head, collected) }
  const body = collected.kind === 'whole' ? collected.bytes : continueBody(collected)
  return { kind: 'answer', ...head, ...made, body, response: { status, headers, body } }
}

function isExecuted(head: AnswerFacts, { rules, isInDoubt }: HandlerJudging): boolean {
  const outcome = classifyAnswer(head, rules.outcomes, isInDoubt)
  return outcome === 'succeeded' || outcome === 'failed'
}

function toHead({ status, headers: fromHandler }: Response): AnswerHead {
  // A body that is read decoded is sent as it was read.
  const headers = toClientHeaders(fromHandler).filter(
    ([name, value]) => name !== 'content-encoding' || !UNDONE.has(value),
  )
  return { status, headers, directives: readOriginDirectives(fromHandler) }
}

/** Codings that the platform undoes when it reads a body, in the one spelling that it knows. */
const UNDONE: ReadonlySet<string> = new Set(['gzip', 'br'])

/** A larger answer goes to the object as a stream. */
const BY_VALUE_BYTES = 1_048_576

/** Whether a handler says that its answer comes bit by bit; Hono's streaming helpers do. */
function isStream(headers: Headers): boolean {
  const isEventStream = /^text\/event-stream\b/i.test(headers.get('content-type') ?? '')
  return isEventStream || headers.has('transfer-encoding')
}

/** Renews the lease every third of it while the work runs. */
async function underLease<result>(
  { ask, claim, leaseMs }: Held,
  work: () => Promise<result>,
): Promise<result> {
  const renewal = setInterval(() => {
    ask((object) => object.renew(claim, leaseMs)).catch((error: unknown) =>
      logFault('a lease was not renewed', error),
    )
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
  }
}

const SETTLE_TRIES = 4
const SETTLE_RETRY_MS = 200

/** A settle that fails must not cost the client its answer: the claim stands, nobody runs again. */
async function settle(
  c: Context<GatewayEnv>,
  held: Held,
  { claim, settlement, end, sealKey, events }: SettleCall,
): Promise<SettleResult | null> {
  const trySettle = () =>
    held.ask((object) => object.settle({ claim, settlement, end, sealKey, events }))
  try {
    return await trySettle()
  } catch (error) {
    logFault('a settle could not be stored; it will be tried again', error)
    c.executionCtx.waitUntil(underLease(held, () => settleLater(trySettle)))
    // Nobody knows yet whether it is.
    return null
  }
}

async function settleLater(trySettle: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; tries < SETTLE_TRIES; tries++) {
    // oxlint-disable-next-line no-await-in-loop -- one try after the other
    await scheduler.wait(SETTLE_RETRY_MS * 4 ** tries)
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after the other
      await trySettle()
      return
    } catch (error) {
      logFault('a settle could still not be stored', error)
    }
  }
}
