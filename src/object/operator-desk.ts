import { isRecoverable } from '../core/operation/due.ts'
import {
  type OperatorAction,
  type OperatorResult,
  refuseAction,
  toOperatorSettlement,
} from '../core/operation/operator-action.ts'
import { type OperatorView, toOperatorView } from '../core/operation/operator-view.ts'
import { type OperationRecord, toRef } from '../core/operation/record.ts'
import { giveUp } from './land-claim.ts'
import type { Ledger } from './ledger.ts'
import type { ObjectContext } from './object-context.ts'
import { createGeneration, toPieces } from './pieces.ts'

/** Shows an operation to an operator. */
export function examine(
  { ledger, flights }: ObjectContext,
  operationId: string,
): OperatorView | null {
  const record = ledger.find(operationId)
  if (record === null) return null
  return toOperatorView(operationId, record, {
    isRunning: flights.isRunning(operationId),
    isRecovering: record.state === 'unknown' && isRecoverable(record, Date.now()),
    pendingEvents: ledger.countEvents(operationId),
  })
}

/** Carries out the action of an operator on an operation. */
export function operate(
  context: ObjectContext,
  operationId: string,
  action: OperatorAction,
): OperatorResult {
  const { ledger, flights } = context
  const record = ledger.find(operationId)
  if (record === null) return { kind: 'not-found' }
  const because = refuseAction(action, record, flights.isRunning(operationId))
  if (because !== null) return { kind: 'refused', because }
  act(ledger, operationId, record, action)
  // Requests that wait for it are told to ask again.
  giveUp(context, toRef(operationId, record))
  const { operation, tenant, correlationId, fence } = record
  const subject = { operation, tenant, correlationId, fence }
  return { kind: 'done', view: examine(context, operationId), subject }
}

function act(
  ledger: Ledger,
  operationId: string,
  record: OperationRecord,
  action: OperatorAction,
): void {
  const claim = toRef(operationId, record)
  if (action.kind === 'erase') {
    ledger.erase(operationId)
    return
  }
  if (action.kind === 'release') {
    const { originStatus = null, fault = null } = record.attempts.at(-1) ?? {}
    const evidence = { originStatus, fault }
    ledger.settle(claim, { outcome: 'unknown', reason: 'owner-lost', evidence }, null)
    return
  }
  const pieces = 'body' in action ? toPieces(action.body) : null
  const body = pieces && { generation: createGeneration(), firstPart: 0, pieces }
  ledger.settle(claim, toOperatorSettlement(action, record), body)
}
