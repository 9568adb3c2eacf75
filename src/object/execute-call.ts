import type { Answer } from '../core/answer.ts'
import { type ClaimRequest, toGranted } from '../core/claim.ts'
import type { Caller, CallPlan, ExecuteCall } from '../core/operation-guard.ts'
import { requireOrigin } from '../origin/target.ts'
import { requireSpill } from '../platform/spill.ts'
import { accept, answerRepeat, type Orphaned } from './answer-repeat.ts'
import { claimOperation, lookAhead, reclaim, refuseCall, refuseNew } from './claim-operation.ts'
import { keepAlive, type ObjectContext } from './object-context.ts'
import { runClaim } from './run-claim.ts'
import { sealRequest } from './stored-request.ts'
import { dropBody } from './wire-body.ts'

/** Claims an operation and calls the origin for it, or answers from what is known about it. */
export async function executeCall(
  context: ObjectContext,
  call: ExecuteCall,
): Promise<Answer | Orphaned> {
  const { claim: request, caller, plan } = call
  const refusal = await refuseNew(context, request, caller)
  if (refusal !== null) return refusal
  const stored = await toStored(context, call)
  // From here to the claim nothing is awaited: what is said of the call holds when it is made.
  const ahead = lookAhead(context, request)?.kind
  if (ahead === undefined || ahead === 'execute' || ahead === 'probe') {
    requireDeployed(context, plan)
  }
  const refusedCall = ahead === 'execute' ? refuseCall(context, caller, plan) : null
  if (refusedCall !== null) return refusedCall
  const decision = claimOperation(context, request, stored)
  if (decision.kind === 'execute') {
    const claim = toGranted(request.operationId, decision.record)
    return orAccept(context, runClaim(context, claim, plan), request, caller)
  }
  if (decision.kind === 'probe') {
    const refuse = () => refuseCall(context, caller, plan)
    const work = reclaim(context, { request, stored, caller, refuse }, decision).then((claim) =>
      'kind' in claim ? claim : runClaim(context, claim, plan),
    )
    return orAccept(context, work, request, caller)
  }
  return answerRepeat(context, request.operationId, decision, caller)
}

/**
 * Checks before the claim that the deployment has what the call needs: after it would be too late.
 *
 * @throws {ConfigurationFault} When there is no origin, or no bucket for a route that spills.
 */
function requireDeployed({ env }: ObjectContext, { keeping }: CallPlan): void {
  requireOrigin(env)
  if (keeping.spillBytes !== null) requireSpill(env.SNAPSHOTS)
}

async function toStored(
  { env }: ObjectContext,
  { claim, plan, isStored }: ExecuteCall,
): Promise<Uint8Array | null> {
  if (!isStored) return null
  const { request, keeping } = plan
  return sealRequest(env, claim.operationId, { request, sealKey: keeping.sealKey })
}

/** A client that comes back for the result waits only as long as it likes; the work goes on. */
async function orAccept(
  context: ObjectContext,
  running: Promise<Answer | Orphaned>,
  { operationId }: ClaimRequest,
  { isAsync, waitMs }: Caller,
): Promise<Answer | Orphaned> {
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
  // Nobody gets what the call brings: the client comes back for it.
  context.waitUntil(
    work.then(
      (late) => late.kind !== 'orphaned' && dropBody(late),
      () => {},
    ),
  )
  return accepted
}
