import { NO_TIME, type Timing } from '../core/operation/answer.ts'
import type { CallEnd } from '../core/operation/attempts.ts'
import type { Granted } from '../core/operation/claim.ts'
import type { CallPlan } from '../core/operation/operation-guard.ts'
import { evidenceOf, ownOutcomeOf } from '../core/outcome/landing.ts'
import { isRefusalOfCaller, isRefusalOfRequest } from '../core/outcome/outcome.ts'
import type { AnswerHead, Reply } from '../core/outcome/reply.ts'
import type { OriginRequest } from '../core/request/origin-request.ts'
import { readShouldRetry } from '../core/retry/retry-after.ts'
import { type RetryAsk, retryCalls } from '../core/retry/retry.ts'
import { logFault } from '../metrics/log.ts'
import { traced } from '../metrics/trace.ts'
import { callOrigin, type IsLive } from './call.ts'
import { healthOf } from './health.ts'
import { isJudgedByBody, judgeHead, judgeReply } from './judge.ts'
import type { OriginTarget } from './target.ts'

/** The last call that was made for a claim. */
interface LastCall {
  /** The last claim: every call has one of its own. */
  readonly claim: Granted
  readonly reply: Reply
  readonly originCalls: number
}

/** The last call, and how long all of them took. */
export interface Called extends LastCall {
  readonly timing: Timing
}

/** Where the claims of the calls are: in the object itself, or in another one. */
export interface Claims {
  /** Notes that a call has ended. @returns `false` when its claim is no longer the last one. */
  readonly note: (claim: Granted, end: CallEnd) => Promise<boolean> | boolean
  /** Makes the next claim. @returns `null` as above. */
  readonly claimAgain: (claim: Granted) => Promise<Granted | null> | Granted | null
}

/** Bodies up to this length, where it is declared, are collected before they are answered with. */
const COLLECTED_BYTES = 1_048_576

/**
 * Calls the origin for a claim, again where the policy says so. Every call is claimed with the
 * next fence before it is made, and what the one before came to is on disk during the pause.
 */
export async function callForClaim(
  claims: Claims,
  origin: OriginTarget,
  first: Granted,
  plan: CallPlan,
): Promise<Called> {
  const startedAt = Date.now()
  const { operationId, fence } = first
  const attributes = { 'hapax.operation_id': operationId, 'hapax.fence': fence }
  const last = await traced('hapax call', attributes, () =>
    callWithRetries(claims, origin, first, plan),
  )
  return { ...last, timing: { ...NO_TIME, originMs: Date.now() - startedAt } }
}

function callWithRetries(
  claims: Claims,
  origin: OriginTarget,
  first: Granted,
  plan: CallPlan,
): Promise<LastCall> {
  const health = healthOf(origin.id)
  const { retry, rules } = plan
  const judging = { rules, limitBytes: plan.bounds.limitBytes }
  let claim = first
  const isLive: IsLive = (head, declaredBytes) => isStreamed(head, declaredBytes, plan, claim)
  const outcomeOf = ({ reply }: LastCall) => ownOutcomeOf(reply, rules, claim.isInDoubt)
  return retryCalls<LastCall>(retry, plan.retryBounds, {
    async call(originCalls) {
      const request = withFence(plan.request, claim.fence)
      const called = await callOrigin(origin, request, plan.bounds, isLive)
      health.report(retry, { hasFailed: isOriginFailure(called), now: Date.now() })
      const reply = await judgeReply(called, judging)
      return { claim, reply, originCalls }
    },
    outcomeOf,
    askOf: ({ reply }) => retryAskOf(reply, claim),
    async pause(delayMs, end) {
      const { reply } = end
      if (!health.admitRetry(retry, plan.tenant, Date.now())) return false
      const ended = { outcome: outcomeOf(end), evidence: evidenceOf(reply) }
      const next = await claimAnother(claims, claim, ended, delayMs)
      if (next === null) return false
      discard(reply)
      claim = next
      return true
    },
    now: () => Date.now(),
    random: () => Math.random(),
  })
}

/** @returns `null` when the claim is no longer the last one, or the store does not take the next. */
async function claimAnother(
  claims: Claims,
  claim: Granted,
  end: CallEnd,
  delayMs: number,
): Promise<Granted | null> {
  try {
    if (!(await claims.note(claim, end))) return null
    await scheduler.wait(delayMs)
    return await claims.claimAgain(claim)
  } catch (error) {
    logFault('a retry could not be recorded; none is made', error)
    return null
  }
}

function withFence(request: OriginRequest, fence: number): OriginRequest {
  return { ...request, headers: [...request.headers, ['idempotency-attempt', String(fence)]] }
}

/**
 * Whether an answer goes to the client while it comes: its end decides nothing any more, and its
 * length is not known or not small. Every other answer is worth waiting for: it may be tried again,
 * and one that breaks off can still be told as a problem.
 */
function isStreamed(
  head: AnswerHead,
  declaredBytes: number | null,
  { rules, bounds }: CallPlan,
  { isInDoubt }: Granted,
): boolean {
  if (isJudgedByBody(head, rules)) return false
  const outcome = ownOutcomeOf({ kind: 'head', ...judgeHead(head, rules) }, rules, isInDoubt)
  if (outcome === 'not_executed' || outcome === 'unknown') return false
  return declaredBytes === null || declaredBytes > Math.min(COLLECTED_BYTES, bounds.limitBytes)
}

/**
 * What an answer says of another try. What only the client can mend is sent again for one reason: to
 * hear of a call in doubt, and never for a caller that is refused.
 */
function retryAskOf(reply: Reply, { isInDoubt }: Granted): RetryAsk {
  if (reply.kind === 'fault') return { isForbidden: isRefusalOfCaller(reply.originStatus) }
  const { status, headers, said, retryAfterMs } = reply
  const isRefusal = isInDoubt
    ? isRefusalOfCaller(status) || said?.isStep === true
    : isRefusalOfRequest(status) || said?.isRefusal === true
  const isForbidden = isRefusal || readShouldRetry(headers) === false
  return { minimumMs: retryAfterMs ?? 0, isForbidden }
}

/** What speaks against the origin itself, not against the request. */
function isOriginFailure(reply: Reply): boolean {
  return reply.kind === 'fault' || reply.status >= 500
}

/** An answer that nobody gets is read to its end, so that its connection can be used again. */
function discard(reply: Reply): void {
  if (reply.kind === 'answer' && reply.body instanceof ReadableStream) void reply.body.cancel()
}
