import { type Answer, ifEnded, ifUnknown, NO_TIME } from '../core/operation/answer.ts'
import type { Evidence } from '../core/operation/attempts.ts'
import type { Granted } from '../core/operation/claim.ts'
import type { CallPlan } from '../core/operation/operation-guard.ts'
import { type ClaimRef, doubtMs, type OperationRecord } from '../core/operation/record.ts'
import { decideLanding, evidenceOf, ownOutcomeOf } from '../core/outcome/landing.ts'
import { isRefusalOfCaller, isRefusalOfRequest, type Outcome } from '../core/outcome/outcome.ts'
import type { AnswerHead, Reply } from '../core/outcome/reply.ts'
import type { OriginRequest } from '../core/request/origin-request.ts'
import { readShouldRetry } from '../core/retry/retry-after.ts'
import { type RetryAsk, retryCalls } from '../core/retry/retry.ts'
import { logFault } from '../metrics/log.ts'
import { traced } from '../metrics/trace.ts'
import { callOrigin, type IsLive } from '../origin/call.ts'
import { healthOf } from '../origin/health.ts'
import { isJudgedByBody, judgeHead, judgeReply } from '../origin/judge.ts'
import { type OriginTarget, requireOrigin } from '../origin/target.ts'
import { landClaim, orGiveUp } from './land-claim.ts'
import type { Ledger } from './ledger.ts'
import type { ObjectContext } from './object-context.ts'
import { streamAnswer } from './stream-answer.ts'
import { splitBody } from './wire-body.ts'

/** What an object answers with that has called the origin itself. */
type RunAnswer = Extract<Answer, { readonly kind: 'executed' | 'lost' }>

/** Calls the origin for a claim and settles it. The output gate holds the call until the claim is on disk. */
export async function runClaim(
  context: ObjectContext,
  first: Granted,
  plan: CallPlan,
): Promise<RunAnswer> {
  context.flights.takeOff(first, { kind: 'object' })
  return orGiveUp(context, first, () => callAndLand(context, first, plan))
}

async function callAndLand(
  context: ObjectContext,
  first: Granted,
  plan: CallPlan,
): Promise<RunAnswer> {
  const startedAt = Date.now()
  const origin = requireOrigin(context.env)
  const { operationId, fence: firstFence } = first
  const { claim, reply, originCalls } = await traced(
    'hapax call',
    { 'hapax.operation_id': operationId, 'hapax.fence': firstFence },
    () => callForClaim(context.ledger, origin, first, plan),
  )
  const timing = { ...NO_TIME, originMs: Date.now() - startedAt }
  const { fence } = claim
  if (reply.kind === 'live') {
    const work = { originCalls, settle: null }
    const live = streamAnswer(context, claim, reply, plan)
    const retentionMs = findKnown(context, operationId)?.retentionMs
    const memory = ifEnded(live, reply.directives.retentionMs ?? retentionMs)
    return { kind: 'executed', ...live, fence, timing, work, ...memory }
  }
  const landing = decideLanding(reply, plan.rules, claim.isInDoubt)
  const settle = await landClaim(context, claim, landing, plan.keeping.sealKey)
  const { outcome } = landing
  const record = findKnown(context, operationId)
  const ageMs = doubtMs(record, Date.now()) ?? 0
  const memory = ifEnded({ outcome }, rememberedMs(record, claim))
  const work = { originCalls, settle }
  const known = { outcome, fence, timing, work, ...ifUnknown({ outcome }, ageMs), ...memory }
  if (reply.kind === 'fault') {
    const { fault, originStatus } = reply
    return { kind: 'lost', fault, originStatus, ...known }
  }
  const { status, headers } = reply
  const body = reply.body instanceof ReadableStream ? reply.body : splitBody(reply.body)
  return { kind: 'executed', response: { status, headers, body }, ...known }
}

/** A store that fails behind the call must not cost the client its answer. */
function findKnown({ ledger }: ObjectContext, operationId: string): OperationRecord | null {
  try {
    return ledger.find(operationId)
  } catch (error) {
    logFault('an operation could not be read behind its call', error)
    return null
  }
}

/** For how long the result of a claim is remembered, where it is stored. */
function rememberedMs(record: OperationRecord | null, { claimId }: ClaimRef): number | undefined {
  const isSettled = record?.state === 'succeeded' || record?.state === 'failed'
  return isSettled && record.claimId === claimId ? record.expiresAt - record.settledAt : undefined
}

/** The last call that was made for a claim. */
interface LastCall {
  /** The last claim: every call has one of its own. */
  readonly claim: Granted
  readonly reply: Reply
  readonly originCalls: number
}

/** Bodies up to this length, where it is declared, are collected before they are answered with. */
const COLLECTED_BYTES = 1_048_576

/**
 * Calls the origin for a claim, again where the policy says so. Every call is claimed with the
 * next fence before it is made, and what the one before came to is on disk during the pause.
 */
async function callForClaim(
  ledger: Ledger,
  origin: OriginTarget,
  first: Granted,
  plan: CallPlan,
): Promise<LastCall> {
  const health = healthOf(origin.base)
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
      const next = await claimAnother(ledger, claim, ended, delayMs)
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
  ledger: Ledger,
  claim: ClaimRef,
  end: { readonly outcome: Outcome; readonly evidence: Evidence },
  delayMs: number,
): Promise<Granted | null> {
  try {
    if (!ledger.note(claim, end)) return null
    await scheduler.wait(delayMs)
    const { claimId } = claim
    return ledger.claimAgain(claim, { claimId, owner: { kind: 'object' }, isResolved: false })
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
