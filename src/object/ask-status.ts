import { graceEndsAt } from '../core/operation/due.ts'
import type { ClaimRef, UnknownRecord } from '../core/operation/record.ts'
import type { Recovery } from '../core/operation/recovery.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import { decideProbeLanding, type Landing } from '../core/outcome/landing.ts'
import type { Outcome } from '../core/outcome/outcome.ts'
import { decideProbe, type Finding, type Unsettled } from '../core/outcome/probe.ts'
import type { SealKey } from '../core/seal.ts'
import { logFault } from '../metrics/log.ts'
import { recordRecovery } from '../metrics/record-recovery.ts'
import { callOrigin } from '../origin/call.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import { judgeStatus } from '../origin/judge.ts'
import type { OriginTarget } from '../origin/target.ts'
import { giveUp, landClaim, orGiveUp } from './land-claim.ts'
import type { ObjectContext } from './object-context.ts'

type Probe = Extract<Recovery, { readonly kind: 'probe' }>

/** How the origin's status resource is asked. */
interface Question {
  readonly recovery: Probe
  readonly headers: readonly HeaderField[]
  /** What seals the result, where the route says so. */
  readonly sealKey: SealKey | null
}

/**
 * Asks the origin's status resource what became of an operation, and settles it where the origin
 * knows. Where nothing was executed it is for the caller to claim the operation again.
 */
export async function askStatus(
  context: ObjectContext,
  known: ClaimRef,
  record: UnknownRecord,
  question: Question,
): Promise<Landing | Unsettled> {
  const startedAt = Date.now()
  const origin = reach(context, record)
  if (origin === null) return undecided(context, known)
  const asking = { ...question, origin }
  const found = await orGiveUp(context, known, () => ask(context, known, record, asking))
  const outcome = outcomeOf(found)
  const id = known.operationId
  recordRecovery(context.env, { id, record, outcome, startedAt, originCalls: 1 })
  return found
}

/** Without its origin, nothing can be asked: no other one knows of the operation. */
function reach({ env }: ObjectContext, { origin }: UnknownRecord): OriginTarget | null {
  try {
    return requireOrigin(env, origin)
  } catch (error) {
    logFault('an operation stays unknown, because its origin cannot be asked', error)
    return null
  }
}

async function ask(
  context: ObjectContext,
  claim: ClaimRef,
  record: UnknownRecord,
  { recovery, headers, sealKey, origin }: Question & { readonly origin: OriginTarget },
): Promise<Landing | Unsettled> {
  const { flights } = context
  const { path, bounds, rules } = recovery
  if (!flights.of(claim)?.isOwn) flights.takeOff(claim, { kind: 'object' })
  const askedAt = Date.now()
  const reply = await callOrigin(origin, { method: 'GET', path, headers, body: null }, bounds)
  const judging = { rules, limitBytes: bounds.limitBytes }
  const found = decideProbe(await judgeStatus(reply, judging), rules)
  switch (found.kind) {
    case 'executed':
      return settleFound(context, claim, found, { recovery, sealKey })
    case 'not_executed': {
      const until = found.isSaid === true ? 0 : graceEndsAt(record, recovery)
      return askedAt < until ? undecided(context, claim, until) : found
    }
    case 'undecided':
      leaveAlone(context, claim, found.retryAfterMs ?? null)
      return { ...found, ...undecided(context, claim) }
  }
}

async function settleFound(
  context: ObjectContext,
  claim: ClaimRef,
  { reply, status, said }: Extract<Finding, { readonly kind: 'executed' }>,
  { recovery: { rules }, sealKey }: { readonly recovery: Probe; readonly sealKey: SealKey | null },
): Promise<Landing | Unsettled> {
  const { seal } = rules.snapshot
  // Without the key that seals it nothing may be stored of it.
  if (seal && sealKey === null) return undecided(context, claim)
  const landing = decideProbeLanding(reply, status, rules, said)
  const settled = await landClaim(context, claim, landing, seal ? sealKey : null)
  // A late owner has settled it meanwhile: its result counts, and the next request gets it.
  return settled === 'refused' ? { kind: 'undecided' } : landing
}

/** Where that cannot be stored the origin is asked sooner than it likes. */
function leaveAlone({ ledger }: ObjectContext, claim: ClaimRef, askedMs: number | null): void {
  try {
    if (askedMs !== null) ledger.postponeRecovery(claim, askedMs)
  } catch (error) {
    logFault('a recovery could not be postponed', error)
  }
}

function undecided(
  context: ObjectContext,
  claim: ClaimRef,
  until: number | null = null,
): Unsettled {
  giveUp(context, claim, until)
  return { kind: 'undecided', until }
}

function outcomeOf(found: Landing | Unsettled): Outcome {
  if (!('kind' in found)) return found.outcome
  return found.kind === 'not_executed' ? 'not_executed' : 'unknown'
}
