import type { NextClaim } from '../core/claim.ts'
import { decideLanding, type Landing, type Reply } from '../core/landing.ts'
import type { OriginRequest } from '../core/origin-request.ts'
import type { ClaimRef } from '../core/record.ts'
import { retryCalls } from '../core/retry.ts'
import { logFault } from '../metrics/log.ts'
import { callOrigin } from '../origin/call.ts'
import { healthOf } from '../origin/health.ts'
import type { OriginTarget } from '../origin/target.ts'
import type { Ledger } from './ledger.ts'
import type { CallPlan } from './operation-guard.ts'

/** How the calls for one claim have ended. */
export interface RunEnd {
  /** The last claim: every call has one of its own. */
  readonly claim: ClaimRef
  readonly reply: Reply
  readonly landing: Landing
  readonly originCalls: number
}

/**
 * Calls the origin for a claim, again where the policy says so. Every call is claimed with the
 * next fence before it is made, and what the one before came to is on disk during the pause.
 */
export async function runClaim(
  ledger: Ledger,
  origin: OriginTarget,
  first: ClaimRef,
  plan: CallPlan,
): Promise<RunEnd> {
  const health = healthOf(origin.base)
  const { retry } = plan
  let claim = first
  return retryCalls<RunEnd>(retry, plan.retryBounds, {
    async call(originCalls) {
      const reply = await callOrigin(origin, withFence(plan.request, claim.fence), plan.bounds)
      health.report(retry, { hasFailed: isOriginFailure(reply), now: Date.now() })
      return { claim, reply, landing: decideLanding(reply, plan.rules), originCalls }
    },
    outcomeOf: ({ landing }) => landing.outcome,
    async pause(delayMs, { landing, reply }) {
      if (!health.admitRetry(retry, Date.now())) return false
      const next = await claimNext(ledger, claim, landing, delayMs)
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
async function claimNext(
  ledger: Ledger,
  claim: ClaimRef,
  { outcome, settlement }: Landing,
  delayMs: number,
): Promise<ClaimRef | null> {
  try {
    if (!ledger.note(claim, { outcome, evidence: settlement.evidence })) return null
    await scheduler.wait(delayMs)
    const record = ledger.claimAgain(claim, sameOwner(claim))
    return record === null ? null : { ...claim, fence: record.fence }
  } catch (error) {
    logFault('a retry could not be recorded; none is made', error)
    return null
  }
}

function sameOwner({ claimId }: ClaimRef): NextClaim {
  return { claimId, owner: { kind: 'object' }, isResolved: false }
}

function withFence(request: OriginRequest, fence: number): OriginRequest {
  return { ...request, headers: [...request.headers, ['idempotency-attempt', String(fence)]] }
}

/** What speaks against the origin itself, not against the request. */
function isOriginFailure(reply: Reply): boolean {
  return reply.kind === 'fault' || reply.status >= 500
}

/** An answer that nobody gets is read to its end, so that its connection can be used again. */
function discard(reply: Reply): void {
  if (reply.kind === 'answer' && reply.body instanceof ReadableStream) void reply.body.cancel()
}
