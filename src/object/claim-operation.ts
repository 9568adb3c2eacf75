import { type Answer, ifEnded, NO_TIME } from '../core/operation/answer.ts'
import {
  type ClaimDecision,
  type ClaimRequest,
  type Granted,
  isNew,
} from '../core/operation/claim.ts'
import { type Explanation, sealPlaces } from '../core/operation/explanation.ts'
import type { Caller, CallPlan } from '../core/operation/operation-guard.ts'
import {
  type ClaimRef,
  type Moved,
  NewerRecord,
  toRef,
  type UnknownRecord,
} from '../core/operation/record.ts'
import type { Landing } from '../core/outcome/landing.ts'
import { logFault } from '../metrics/log.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import { healthOf } from '../origin/health.ts'
import {
  answerJoined,
  answerRepeat,
  askedBefore,
  type Orphaned,
  pickHeld,
} from './answer-repeat.ts'
import { askStatus } from './ask-status.ts'
import { giveUp } from './land-claim.ts'
import type { Ledger } from './ledger.ts'
import type { ObjectContext } from './object-context.ts'

/** A claim to make, and what is stored with it. */
interface Claiming {
  readonly request: ClaimRequest
  /** The request as the route keeps it for a recovery without a client, or `null`. */
  readonly stored: Uint8Array | null
  /** What explains a later mismatch, or `null`. */
  readonly explanation: Explanation | null
  /** What `lookAhead` has predicted. Nothing was awaited since. */
  readonly ahead: ClaimDecision | null
}

/** Claims an operation for a request. */
export function claimOperation(
  context: ObjectContext,
  claiming: Claiming,
): ClaimDecision | { readonly kind: 'store_fault' } {
  const { ledger, flights } = context
  const { request, stored, ahead } = claiming
  // Nothing changes, and nothing is due that a lost alarm would miss.
  if (ahead?.kind === 'replay' || ahead?.kind === 'mismatch') return ahead
  try {
    return ledger.claim({ ...request, places: sealedPlacesOf(context, claiming) }, stored)
  } catch (error) {
    // It may be running, or done: forwarding it without the store would execute it a second time.
    const isKnown = error instanceof NewerRecord
    if (isKnown || flights.ofOperation(request.operationId) !== null) throw error
    logFault('a claim could not be stored; nothing was forwarded', error)
    return { kind: 'store_fault' }
  }
}

/** What explains a later mismatch, for a claim that begins an operation. Nothing else needs it. */
function sealedPlacesOf({ env }: ObjectContext, { request, explanation, ahead }: Claiming): string {
  if (explanation === null || ahead === null || !isNew(ahead)) return request.places
  return sealPlaces(env.HAPAX_DIGEST_KEY, request.operationId, explanation)
}

/** Predicts the decision of a claim. @returns `null` when the store fails: the claim will say so. */
export function lookAhead({ ledger }: ObjectContext, request: ClaimRequest): ClaimDecision | null {
  try {
    return ledger.look(request)
  } catch {
    return null
  }
}

/**
 * Counts a new operation against the rate limit of its tenant and of its address, if the route has
 * one: an unverified client could name another tenant in every request. Stores nothing when over it.
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
  // The address first: a client over its limit must not use up the limit of the tenant that it names.
  for (const key of address === null ? [request.tenant] : [address, request.tenant]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    if (!(await binding.limit({ key })).success) return { kind: 'rate_limited' }
  }
  return null
}

/** Checks deadline and circuit before a claim, so that nothing is stored for a call that is not made. */
export function refuseCall(
  { env }: ObjectContext,
  caller: Caller,
  { retry, tenant, origin }: CallPlan,
): Answer | null {
  const late = refuseLate(caller)
  if (late !== null) return late
  const health = healthOf(requireOrigin(env, origin).id)
  const retryAfterMs = health.admit(retry, tenant, Date.now())
  return retryAfterMs === null ? null : { kind: 'circuit_open', retryAfterMs }
}

/** Refuses a caller whose deadline has passed. */
export function refuseLate({ deadlineAt }: Caller): Answer | null {
  return deadlineAt !== null && deadlineAt <= Date.now() ? { kind: 'too_late' } : null
}

/** A claim to make again if nothing was executed, unless `refuse` gives a reason against the call. */
interface Reclaim extends Omit<Claiming, 'explanation' | 'ahead'> {
  readonly caller: Caller
  readonly refuse: () => Answer | null
}

/** Asks the origin first, and claims the operation when it was not executed. */
export async function reclaim(
  context: ObjectContext,
  { request, stored, caller, refuse }: Reclaim,
  { record, recovery }: Extract<ClaimDecision, { readonly kind: 'probe' }>,
): Promise<Granted | Answer | Orphaned | Moved> {
  const known = toRef(request.operationId, record)
  const found = await askStatus(context, known, record, {
    recovery,
    headers: caller.probeHeaders,
    sealKey: caller.sealKeys[0] ?? null,
  })
  if (!('kind' in found)) return answerLanding(found, record, caller)
  if (found.kind === 'undecided')
    return answerUndecided(context, { request, caller }, record, found.until)
  const refusal = refuse()
  if (refusal !== null) {
    giveUp(context, known)
    return refusal
  }
  const claim = claimNext(context, known, (ledger) => ledger.claimResolved(known, request, stored))
  return claim ?? answerUndecided(context, { request, caller }, record)
}

/** A late owner may have settled the operation while the origin was asked, or be settling it now. */
async function answerUndecided(
  context: ObjectContext,
  { request, caller }: Pick<Reclaim, 'request' | 'caller'>,
  record: UnknownRecord,
  until: number | null = null,
): Promise<Answer | Orphaned | Moved> {
  const decision = lookAhead(context, request)
  if (decision?.kind === 'replay' || decision?.kind === 'in_flight') {
    return answerRepeat(context, request.operationId, decision, caller)
  }
  return { kind: 'held', policy: 'probe', until, ...pickHeld(record) }
}

/** Answers with the result from the status resource, which is now the operation's result. */
function answerLanding(landing: Landing, record: UnknownRecord, caller: Caller): Answer {
  const { operation, fence } = record
  const joined = answerJoined(landing.end, record, NO_TIME, caller)
  if (joined.kind !== 'joined') return joined
  const outcome = landing.outcome === 'failed' ? 'failed' : 'succeeded'
  const { response } = joined
  const replayed = { kind: 'replayed', operation, response, outcome, fence } as const
  return { ...replayed, ...askedBefore(record), ageMs: 0, ...ifEnded(joined, joined.rememberedMs) }
}

/**
 * Makes the next claim of an operation whose last call was not executed.
 *
 * @param claim Makes it in the ledger.
 * @returns That claim, or `null` when somebody else has taken the operation over meanwhile.
 */
export function claimNext(
  context: ObjectContext,
  known: ClaimRef,
  claim: (ledger: Ledger) => Granted | null,
): Granted | null {
  try {
    const granted = claim(context.ledger)
    if (granted !== null) return granted
  } catch (error) {
    logFault('a claim could not be stored; nothing was forwarded', error)
  }
  giveUp(context, known)
  return null
}
