import { type Answer, NO_TIME } from '../core/operation/answer.ts'
import { isUnexecuted } from '../core/operation/attempts.ts'
import { isRecoverable } from '../core/operation/due.ts'
import type { Caller, OperationQuestion } from '../core/operation/operation-guard.ts'
import type { OperationView } from '../core/operation/operation-view.ts'
import type { OperationRecord } from '../core/operation/record.ts'
import { pickHeld, replay, toExpired, viewOperation } from './answer-repeat.ts'
import type { ObjectContext } from './object-context.ts'

/** How often an operation that does not run in this object is checked, in milliseconds. */
const LOOK_MS = 500

/** Shows an operation to its tenant. */
export async function inspect(
  context: ObjectContext,
  question: OperationQuestion,
): Promise<OperationView | null> {
  const record = await find(context, question)
  return record === null ? null : viewOperation(question.operationId, record)
}

/** Answers a tenant with the result of its operation, or with the reason why there is none. */
export async function answerResult(
  context: ObjectContext,
  question: OperationQuestion,
  caller: Caller,
): Promise<Answer | null> {
  const record = await find(context, question)
  if (record === null) return null
  const { fence } = record
  const runningMs = Date.now() - record.claimedAt
  const running: Answer = { kind: 'in_flight', fence, runningMs, timing: NO_TIME }
  switch (record.state) {
    case 'in_progress':
      return running
    case 'unknown':
      // Nothing was executed, and it is sent again.
      if (isUnexecuted(record)) return running
      return { kind: 'held', policy: record.recovery.kind, ...pickHeld(record) }
    case 'expired':
      return toExpired({ known: record, isOther: false })
    case 'succeeded':
    case 'failed':
      return replay(context, question.operationId, record, caller)
  }
}

/** Waits as the question says. An operation of another tenant is as if it were not there. */
async function find(
  context: ObjectContext,
  { operationId, tenant, waitMs, knownState }: OperationQuestion,
): Promise<OperationRecord | null> {
  const { ledger } = context
  const until = Date.now() + waitMs
  // The client that was told to come back may be the only one that ever comes.
  ledger.watch(operationId)
  for (;;) {
    const record = ledger.find(operationId)
    if (record?.tenant !== tenant) return null
    const leftMs = until - Date.now()
    const hasChanged = knownState !== null && record.state !== knownState
    if (hasChanged || !isUnderWay(record) || leftMs <= 0) return record
    // oxlint-disable-next-line no-await-in-loop -- one look after the other
    await untilChanged(context, operationId, record, leftMs)
  }
}

/** Waits until the record may have changed, for at most `waitMs`. */
async function untilChanged(
  context: ObjectContext,
  operationId: string,
  record: OperationRecord,
  waitMs: number,
): Promise<void> {
  const { ledger, flights } = context
  const ownedMs = ledger.ownedMs(operationId)
  if (ownedMs > 0) {
    return flights.ofRunning(operationId, record).done(Math.min(waitMs, ownedMs))
  }
  // Nobody drives it now; the alarm will.
  const lookMs = Math.min(waitMs, LOOK_MS)
  await (flights.ofOperation(operationId)?.done(lookMs) ?? scheduler.wait(lookMs))
}

/** Whether its state may still change without another request. */
function isUnderWay(record: OperationRecord): boolean {
  if (record.state === 'in_progress') return true
  return record.state === 'unknown' && isRecoverable(record, Date.now())
}
