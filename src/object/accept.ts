import type { Answer } from '../core/answer.ts'
import { isRecoverable } from '../core/due.ts'
import { type OperationView, toOperationView } from '../core/operation-view.ts'
import type { OperationRecord } from '../core/record.ts'
import { toTime } from '../core/time.ts'
import type { ObjectContext } from './object-context.ts'

/** Promises a result to a client that comes back for it. @returns `null` where nothing is known of the operation. */
export function accept({ ledger }: ObjectContext, operationId: string): Answer | null {
  const record = ledger.accept(operationId)
  if (record === null) return null
  return { kind: 'accepted', fence: record.fence, view: viewOperation(operationId, record) }
}

/** Shows an operation to its tenant. */
export function viewOperation(operationId: string, record: OperationRecord): OperationView {
  const isRecovering = record.state === 'unknown' && isRecoverable(record, Date.now())
  return toOperationView(operationId, record, { toTime, isRecovering })
}
