import { DOUBT_FIELD, RECOVERY_FIELD } from '../config/deployed-functions.ts'
import { isFunctionOrigin } from '../core/function/function-origin.ts'
import { isUnexecuted, lastDoubtMs } from '../core/operation/attempts.ts'
import type { CallPlan } from '../core/operation/operation-guard.ts'
import { type ClaimRef, toRef, type UnknownRecord } from '../core/operation/record.ts'
import { isOpen } from '../core/operation/settle.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import {
  type OriginRequest,
  type StoredRequest,
  toProbeHeaders,
} from '../core/request/origin-request.ts'
import { logFault } from '../metrics/log.ts'
import { recordRecovery } from '../metrics/record-recovery.ts'
import { traced } from '../metrics/trace.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import { dropBody } from '../platform/drop-body.ts'
import { openStoredRequest } from '../platform/stored-request.ts'
import { askStatus } from './ask-status.ts'
import { claimNext } from './claim-operation.ts'
import { giveUp } from './land-claim.ts'
import type { Recoverable } from './ledger.ts'
import type { ObjectContext } from './object-context.ts'
import { runClaim } from './run-claim.ts'

/** A recovery by alarm makes one call of its own accord; the alarm comes again. */
const NO_BACKOFF = { attempts: 1, baseMs: 0, capMs: 0, deadlineMs: 0 } as const
const ONE_CALL: Pick<CallPlan, 'retry' | 'retryBounds'> = {
  retry: { ...NO_BACKOFF, on: [], budget: false, breaker: false },
  retryBounds: { attempts: 1, deadlineAt: 0 },
}

/** Does what the policy of the route says about an unknown outcome, without any client, when there is room. */
export function recoverOperation(context: ObjectContext, due: Recoverable): Promise<void> {
  return context.recoveries.run(due.id, async () => {
    if (isStillDue(context, due)) await recoverNow(context, due)
  })
}

/** Whether no request has taken the operation over while its recovery waited. */
function isStillDue({ ledger, flights }: ObjectContext, { id, record }: Recoverable): boolean {
  const found = ledger.find(id)
  return found?.state === 'unknown' && isOpen(found, toRef(id, record)) && !flights.isRunning(id)
}

async function recoverNow(context: ObjectContext, { id, record }: Recoverable): Promise<void> {
  const known = toRef(id, record)
  // Before anything is awaited: from now on a request joins, and does not recover it as well.
  context.flights.takeOff(known, { kind: 'object' })
  try {
    const attributes = { 'hapax.operation_id': id, 'hapax.correlation_id': record.correlationId }
    await traced('hapax recover', attributes, () => recover(context, known, record))
  } catch (error) {
    logFault('a recovery failed; it will be tried again', error)
    giveUp(context, known)
  }
}

async function recover(
  context: ObjectContext,
  known: ClaimRef,
  record: UnknownRecord,
): Promise<void> {
  const { recovery } = record
  const stored = await readStored(context, known.operationId).catch((error: unknown) => {
    // The origin can be asked all the same.
    if (recovery.kind !== 'probe') throw error
    return null
  })
  if (recovery.kind === 'probe') {
    const asked = { recovery, ...askingAs(record, stored) }
    const found = await askStatus(context, known, record, asked)
    if (!('kind' in found)) return
    if (found.kind === 'undecided') {
      // If the same credentials were refused again and again, their owner would be locked out.
      if (found.isRefused === true && stored !== null) context.ledger.dropRequest(known)
      return
    }
  }
  // Without the stored request the question had no credentials, and an origin that hides operations
  // from strangers answers 404 as well. The next request asks with its own credentials.
  if (stored === null) giveUp(context, known)
  else await sendAgain(context, known, record, stored)
}

async function sendAgain(
  context: ObjectContext,
  known: ClaimRef,
  record: UnknownRecord,
  { request, sealKey }: StoredRequest,
): Promise<void> {
  const { recovery, tenant, origin } = record
  if (recovery.isDurable !== true || (recovery.kind === 'hold' && !isUnexecuted(record))) {
    throw new Error('What is held, or not stored, is not sent again.')
  }
  const startedAt = Date.now()
  requireOrigin(context.env, origin)
  const isResolved = recovery.kind === 'probe'
  const next = { claimId: crypto.randomUUID(), owner: { kind: 'object' }, isResolved } as const
  const claim = claimNext(context, known, (ledger) => ledger.claimAgain(known, next))
  if (claim === null) return
  const { bounds, rules } = recovery
  const keeping = { sealKey, spillBytes: null }
  const asked = isFunctionOrigin(origin ?? '') ? withDoubt(request, record) : request
  const plan = {
    request: asked,
    tenant,
    bounds,
    rules,
    keeping,
    ...ONE_CALL,
    ...(origin && { origin }),
  }
  const answer = await runClaim(context, claim, plan)
  dropBody(answer)
  const { outcome } = answer
  const originCalls = answer.work?.originCalls ?? 1
  recordRecovery(context.env, { id: known.operationId, record, outcome, startedAt, originCalls })
}

/** A function is told since when it is in doubt, and what its policy said about that. */
function withDoubt(request: OriginRequest, record: UnknownRecord): OriginRequest {
  const ms = lastDoubtMs(record, Date.now())
  if (ms === null) return request
  const doubt: HeaderField[] = [
    [DOUBT_FIELD, String(ms)],
    [RECOVERY_FIELD, record.recovery.kind],
  ]
  return { ...request, headers: [...request.headers, ...doubt] }
}

async function readStored(
  { env, ledger }: ObjectContext,
  operationId: string,
): Promise<StoredRequest | null> {
  const stored = ledger.bodies.readRequest(operationId)
  return stored && openStoredRequest(env, operationId, stored)
}

/** With what the alarm asks: the headers of the stored request, or those that tie it to its operation. */
function askingAs({ correlationId, traceparent }: UnknownRecord, stored: StoredRequest | null) {
  const ties: HeaderField[] = [
    ['x-correlation-id', correlationId],
    ['traceparent', traceparent],
  ]
  const headers = toProbeHeaders(stored?.request.headers ?? ties)
  return { headers, sealKey: stored?.sealKey ?? null }
}
