import { type Answer, ifEnded, NO_TIME } from '../core/answer.ts'
import type { ClaimDecision, ClaimRequest, Granted } from '../core/claim.ts'
import type { Landing } from '../core/landing.ts'
import type { Caller } from '../core/operation-guard.ts'
import type { Unsettled } from '../core/probe.ts'
import { doubtMs, toRef, type UnknownRecord } from '../core/record.ts'
import { answerRepeat } from './answer-repeat.ts'
import { askStatus } from './ask-status.ts'
import { lookAhead } from './claim-operation.ts'
import { answerJoined, type Orphaned } from './join-call.ts'
import { claimNext, giveUp } from './land-claim.ts'
import type { ObjectContext } from './object-context.ts'

/** A claim that is made again where nothing was executed, unless something speaks against the call. */
interface Reclaim {
  readonly request: ClaimRequest
  /** The request as the route keeps it for a recovery without a client, or `null`. */
  readonly stored: Uint8Array | null
  readonly caller: Caller
  readonly refuse: () => Answer | null
}

/** Asks the origin first, and claims the operation when it was not executed. */
export async function reclaim(
  context: ObjectContext,
  { request, stored, caller, refuse }: Reclaim,
  { record, recovery }: Extract<ClaimDecision, { readonly kind: 'probe' }>,
): Promise<Granted | Answer | Orphaned> {
  const known = toRef(request.operationId, record)
  const found = await askStatus(context, known, record, {
    recovery,
    headers: caller.probeHeaders,
    sealKey: caller.sealKeys[0] ?? null,
  })
  if (!('kind' in found)) return answerLanding(found, record, caller)
  if (found.kind === 'undecided')
    return answerUndecided(context, request, caller, { record, found })
  const refusal = refuse()
  if (refusal !== null) {
    giveUp(context, known)
    return refusal
  }
  const claim = claimNext(context, known, (ledger) => ledger.claimResolved(known, request, stored))
  return (
    claim ?? answerUndecided(context, request, caller, { record, found: { kind: 'undecided' } })
  )
}

/** While the origin was asked, a late owner may have told what it has come to, or tell it right now. */
async function answerUndecided(
  context: ObjectContext,
  request: ClaimRequest,
  caller: Caller,
  { record, found }: { record: UnknownRecord; found: Extract<Unsettled, { kind: 'undecided' }> },
): Promise<Answer | Orphaned> {
  const decision = lookAhead(context, request)
  if (decision?.kind === 'replay' || decision?.kind === 'in_flight') {
    return answerRepeat(context, request.operationId, decision, caller)
  }
  const { fence, reason } = record
  const ageMs = doubtMs(record, Date.now()) ?? 0
  return { kind: 'held', fence, reason, policy: 'probe', until: found.until ?? null, ageMs }
}

/** Answers with the result that the status resource holds, which is the operation's by now. */
function answerLanding(landing: Landing, record: UnknownRecord, caller: Caller): Answer {
  const { operation, fence, reauthorizePath } = record
  const joined = answerJoined(landing.end, record, NO_TIME, caller)
  if (joined.kind !== 'joined') return joined
  const outcome = landing.outcome === 'failed' ? 'failed' : 'succeeded'
  const { response } = joined
  const replayed = { kind: 'replayed', operation, response, outcome, fence } as const
  return { ...replayed, reauthorizePath, ageMs: 0, ...ifEnded(joined, joined.rememberedMs) }
}
