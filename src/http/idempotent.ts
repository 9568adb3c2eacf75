import type { Context, MiddlewareHandler, Next } from 'hono'
import { HTTPException } from 'hono/http-exception'

import type { Policy, PolicyOptions } from '../config/policy.ts'
import { NO_TIME, type SettleResult } from '../core/answer.ts'
import { collectBody, continueBody } from '../core/body.ts'
import { toClientHeaders, toOriginHeaders } from '../core/headers.ts'
import { decideLanding, type Landing, type Reply } from '../core/landing.ts'
import { readOriginDirectives } from '../core/origin-directives.ts'
import type { ClaimRef } from '../core/record.ts'
import type { WireResponse } from '../core/snapshot.ts'
import type { OperationGuard } from '../durable/operation-guard.ts'
import { logFault } from '../metrics/log.ts'
import type { Admitted } from './admit.ts'
import { mark } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { guard } from './guard.ts'
import { askObject } from './object.ts'
import { callerOf, landingRulesOf, recoveryOf } from './plan.ts'
import { withPolicy } from './route-policy.ts'
import { toStatus, toVerdict, UNPROTECTED, type Verdict } from './verdict.ts'

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
  return withPolicy(options, (policy): MiddlewareHandler<GatewayEnv> => {
    return async function idempotent(c, next) {
      if (policy.mode === 'off') return next()
      const response = await guard(c, policy, {
        async unprotected(subject, body) {
          if (body !== null) restoreBody(c, body)
          await next()
          return mark(c, new Response(c.res.body, c.res), subject, UNPROTECTED)
        },
        admitted: (admitted) => keepAlive(c, run(c, next, policy, admitted)),
      })
      // An assignment over a response merges its headers into the new one (Hono's `Context.res`).
      c.res = undefined
      c.res = response
    }
  })
}

/** The client's leaving does not stop the work, for as long as the platform lets it run on. */
function keepAlive<result>(c: Context, work: Promise<result>): Promise<result> {
  c.executionCtx.waitUntil(work.catch(() => {}))
  return work
}

async function run(
  c: Context<GatewayEnv>,
  next: Next,
  policy: Policy,
  { claim, body }: Admitted,
): Promise<Verdict> {
  const { operationId } = claim
  const ask: Ask = (question) => askObject(c, operationId, question)
  const caller = callerOf(c, policy, toOriginHeaders(c.req.raw.headers))
  const recovery = recoveryOf(c, { ...policy, durable: false }, claim)
  const request = { ...claim, recovery, leaseMs: policy.lease }
  const answer = await ask((object) => object.claim(request, caller))
  if (answer.kind !== 'granted') return toVerdict(answer, policy)

  const startedAt = Date.now()
  restoreBody(c, body)
  const reply = await underLease(ask, answer.claim, policy.lease, () =>
    callHandler(c, next, policy),
  )
  const landing =
    reply.kind === 'threw' ? HANDLER_THREW : decideLanding(reply, landingRulesOf(c, policy))
  const settled = await settle(c, ask, answer.claim, landing)
  return {
    status: toStatus(landing.outcome),
    reply: reply.response,
    outcome: landing.outcome,
    fence: answer.claim.fence,
    timing: { ...NO_TIME, originMs: Date.now() - startedAt },
    work: { originCalls: 0, settle: settled },
    ageMs: 0,
  }
}

/** Asks the object of the operation. */
type Ask = <answer>(question: (object: OperationGuard) => Promise<answer>) => Promise<answer>

/** The handler reads the body that the fingerprint has used up. */
function restoreBody(c: Context<GatewayEnv>, body: Admitted['body']): void {
  if (c.req.raw.body !== null) c.req.raw = new Request(c.req.raw, { body })
}

type HandlerReply =
  | (Extract<Reply, { kind: 'answer' }> & { readonly response: WireResponse })
  | { readonly kind: 'threw'; readonly response: WireResponse }

const HANDLER_THREW: Landing = {
  outcome: 'unknown',
  settlement: {
    outcome: 'unknown',
    reason: 'handler-threw',
    evidence: { originStatus: null, fault: null },
  },
  end: { kind: 'fault', fault: 'lost' },
}

/**
 * Runs the handlers. Hono's `next` does not reject when one throws an error: it leaves `c.error`
 * behind. It rejects when something else was thrown.
 */
async function callHandler(
  c: Context<GatewayEnv>,
  next: Next,
  policy: Policy,
): Promise<HandlerReply> {
  try {
    await next()
    return await readHandlerReply(c, policy)
  } catch (error) {
    logFault('a handler threw, or its body broke off', error)
    return { kind: 'threw', response: { status: 500, headers: [], body: null } }
  }
}

async function readHandlerReply(c: Context<GatewayEnv>, policy: Policy): Promise<HandlerReply> {
  const { status, headers: fromHandler } = c.res
  const collected = await collectBody(c.res.body, policy.limits.response)
  const body = collected.kind === 'whole' ? collected.bytes : continueBody(collected)
  // The body was read decoded, so it is sent as it was read.
  const headers = toClientHeaders(fromHandler).filter(([name]) => name !== 'content-encoding')
  const response = { status, headers, body }
  if (c.error !== undefined && !(c.error instanceof HTTPException)) {
    return { kind: 'threw', response }
  }
  const directives = readOriginDirectives(fromHandler)
  return { kind: 'answer', ...response, directives, response }
}

/** Renews the lease every third of it while the work runs. */
async function underLease<result>(
  ask: Ask,
  claim: ClaimRef,
  leaseMs: number,
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
  ask: Ask,
  claim: ClaimRef,
  { settlement, end }: Landing,
): Promise<SettleResult> {
  const trySettle = () => ask((object) => object.settle({ claim, settlement, end }))
  try {
    return await trySettle()
  } catch (error) {
    logFault('a settle could not be stored; it will be tried again', error)
    c.executionCtx.waitUntil(settleLater(trySettle))
    return 'taken'
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
