import type { Answer } from '../core/operation/answer.ts'
import { type ClaimDecision, type ClaimRequest, toGranted } from '../core/operation/claim.ts'
import type { Caller, ExecuteCall } from '../core/operation/operation-guard.ts'
import type { Moved } from '../core/operation/record.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import { dropBody } from '../platform/drop-body.ts'
import { requireSpill } from '../platform/spill.ts'
import { sealRequest } from '../platform/stored-request.ts'
import { accept, answerRepeat, type Orphaned } from './answer-repeat.ts'
import { claimOperation, lookAhead, reclaim, refuseCall, refuseNew } from './claim-operation.ts'
import { keepAlive, type ObjectContext } from './object-context.ts'
import { runClaim } from './run-claim.ts'

/** Claims an operation and calls the origin for it, or answers from what is known about it. */
export async function executeCall(
  context: ObjectContext,
  call: ExecuteCall,
): Promise<Answer | Orphaned | Moved> {
  const { claim: request, caller, plan, explanation = null } = call
  const refusal = await refuseNew(context, request, caller)
  if (refusal !== null) return refusal
  const kept = { request: plan.request, sealKey: plan.keeping.sealKey }
  const stored = call.isStored ? await sealRequest(context.env, request.operationId, kept) : null
  // Nothing is awaited from here to the claim, so the checks of the call still hold when it is made.
  const ahead = lookAhead(context, request)
  const refusedCall = refuseAhead(context, call, ahead)
  if (refusedCall !== null) return refusedCall
  const decision = claimOperation(context, { request, stored, explanation, ahead })
  if (decision.kind === 'execute') {
    const claim = toGranted(request.operationId, decision.record)
    return orAccept(context, runClaim(context, claim, plan), request, caller)
  }
  if (decision.kind === 'probe') return resolveCall(context, call, stored, decision)
  return answerRepeat(context, request.operationId, decision, caller)
}

/**
 * Asks the origin what became of an earlier call, and calls it again if that was not executed.
 *
 * @param stored The request as the route keeps it for a recovery without a client, or `null`.
 */
export function resolveCall(
  context: ObjectContext,
  { claim: request, caller, plan }: ExecuteCall,
  stored: Uint8Array | null,
  decision: Extract<ClaimDecision, { readonly kind: 'probe' }>,
): Promise<Answer | Orphaned | Moved> {
  const refuse = () => refuseCall(context, caller, plan)
  const work = reclaim(context, { request, stored, caller, refuse }, decision).then((claim) =>
    'kind' in claim ? claim : runClaim(context, claim, plan),
  )
  return orAccept(context, work, request, caller)
}

/**
 * Refuses a call that should not be claimed.
 *
 * @throws {ConfigurationFault} When there is no origin, or no bucket for a route that spills.
 */
function refuseAhead(
  context: ObjectContext,
  { caller, plan }: ExecuteCall,
  ahead: ClaimDecision | null,
): Answer | null {
  if (ahead === null || ahead.kind === 'execute' || ahead.kind === 'probe') {
    requireOrigin(context.env, plan.origin)
    if (plan.keeping.spillBytes !== null) requireSpill(context.env.SNAPSHOTS)
  }
  return ahead?.kind === 'execute' ? refuseCall(context, caller, plan) : null
}

/** A client that comes back for the result waits only for `waitMs`; the work goes on. */
async function orAccept(
  context: ObjectContext,
  running: Promise<Answer | Orphaned | Moved>,
  { operationId }: ClaimRequest,
  { isAsync, waitMs }: Caller,
): Promise<Answer | Orphaned | Moved> {
  const work = keepAlive(context, running)
  if (!isAsync) return work
  const answer = await Promise.race([work, scheduler.wait(waitMs)])
  // Still in progress when its call has ended: it was not executed, and the alarm sends it again.
  const isDriven =
    !context.flights.isRunning(operationId) &&
    context.ledger.find(operationId)?.state === 'in_progress'
  if (answer !== undefined && !isDriven) return answer
  const accepted = accept(context, operationId)
  if (accepted === null) return work
  // Nobody receives this answer: the client comes back for the stored one.
  context.waitUntil(work.then(dropBody, () => {}))
  return accepted
}
