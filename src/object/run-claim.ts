import { type Answer, ifEnded, ifUnknown } from '../core/operation/answer.ts'
import type { Granted } from '../core/operation/claim.ts'
import type { CallPlan } from '../core/operation/operation-guard.ts'
import {
  type ClaimRef,
  doubtMs,
  isSettled,
  type OperationRecord,
} from '../core/operation/record.ts'
import { decideLanding } from '../core/outcome/landing.ts'
import { logFault } from '../metrics/log.ts'
import { callForClaim, type Claims } from '../origin/call-for-claim.ts'
import { requireOrigin } from '../origin/find-origin.ts'
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
  const origin = requireOrigin(context.env, plan.origin)
  const called = await callForClaim(claimsOf(context.ledger), origin, first, plan)
  const { claim, reply, originCalls, timing } = called
  const { operationId, fence } = claim
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
  const isOfClaim = isSettled(record) && record.claimId === claimId
  return isOfClaim ? record.expiresAt - record.settledAt : undefined
}

/** The claims of calls that the object makes itself. They keep their name, and only the fence grows. */
function claimsOf(ledger: Ledger): Claims {
  return {
    note: (claim, end) => ledger.note(claim, end),
    claimAgain: (claim) => {
      const { claimId } = claim
      return ledger.claimAgain(claim, { claimId, owner: { kind: 'object' }, isResolved: false })
    },
  }
}
