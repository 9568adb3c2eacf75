import type { Answer } from '../core/answer.ts'
import { type ClaimDecision, type ClaimRequest, isNew } from '../core/claim.ts'
import type { Caller, CallPlan } from '../core/operation-guard.ts'
import { logFault } from '../metrics/log.ts'
import { healthOf } from '../origin/health.ts'
import { requireOrigin } from '../origin/target.ts'
import type { ObjectContext } from './object-context.ts'

/** Claims an operation for a request, where the store takes it. */
export function claimOperation(
  { ledger, flights }: ObjectContext,
  request: ClaimRequest,
  stored: Uint8Array | null,
): ClaimDecision | { readonly kind: 'store_fault' } {
  try {
    return ledger.claim(request, stored)
  } catch (error) {
    // It may be running: whoever went around the store would execute it a second time.
    if (flights.ofOperation(request.operationId) !== null) throw error
    logFault('a claim could not be stored; nothing was forwarded', error)
    return { kind: 'store_fault' }
  }
}

/** Tells what a claim would come to. @returns `null` where the store does not answer: the claim will say so. */
export function lookAhead({ ledger }: ObjectContext, request: ClaimRequest): ClaimDecision | null {
  try {
    return ledger.look(request)
  } catch {
    return null
  }
}

/**
 * Counts a new operation of its tenant, where the route says so, and of where it comes from: who
 * is not verified could be another tenant with every request. Nothing is stored for one too many.
 */
export async function refuseNew(
  context: ObjectContext,
  request: ClaimRequest,
  { rateLimiter, address }: Caller,
): Promise<Answer | null> {
  if (rateLimiter === null) return null
  const ahead = lookAhead(context, request)
  if (ahead === null || !isNew(ahead)) return null
  const binding = Reflect.get(context.env, rateLimiter) as RateLimit | undefined
  if (binding === undefined) throw new Error(`There is no rate-limiting binding ${rateLimiter}.`)
  // The address first: whoever is over there must not use up what belongs to the tenant it names.
  for (const key of address === null ? [request.tenant] : [address, request.tenant]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    if (!(await binding.limit({ key })).success) return { kind: 'rate_limited' }
  }
  return null
}

/** Asks deadline and circuit before a claim, so that nothing is stored for a call that is not made. */
export function refuseCall(
  { env }: ObjectContext,
  caller: Caller,
  { retry, tenant }: CallPlan,
): Answer | null {
  const late = refuseLate(caller)
  if (late !== null) return late
  const health = healthOf(requireOrigin(env).base)
  const retryAfterMs = health.admit(retry, tenant, Date.now())
  return retryAfterMs === null ? null : { kind: 'circuit_open', retryAfterMs }
}

/** Begins nothing for a caller that has given up already. */
export function refuseLate({ deadlineAt }: Caller): Answer | null {
  return deadlineAt !== null && deadlineAt <= Date.now() ? { kind: 'too_late' } : null
}
