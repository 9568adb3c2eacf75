import { isRecoverable } from '../core/due.ts'
import {
  type OperatorAction,
  type OperatorResult,
  type OperatorView,
  refuseAction,
  toOperatorSettlement,
  toOperatorView,
} from '../core/operator.ts'
import { type OperationRecord, toRef } from '../core/record.ts'
import type { Flights } from './flights.ts'
import type { Ledger } from './ledger.ts'
import { createGeneration, toPieces } from './record-store.ts'
import type { Runs } from './runs.ts'

/** What an operator sees of the operations of an object, and does to them. */
export class Operator {
  readonly #ledger: Ledger
  readonly #flights: Flights
  readonly #runs: Runs

  constructor(ledger: Ledger, flights: Flights, runs: Runs) {
    this.#ledger = ledger
    this.#flights = flights
    this.#runs = runs
  }

  examine(operationId: string): OperatorView | null {
    const record = this.#ledger.find(operationId)
    return record === null ? null : this.#view(operationId, record)
  }

  operate(operationId: string, action: OperatorAction): OperatorResult {
    const record = this.#ledger.find(operationId)
    if (record === null) return { kind: 'not-found' }
    const because = refuseAction(action, record, this.#flights.isRunning(operationId))
    if (because !== null) return { kind: 'refused', because }
    const claim = toRef(operationId, record)
    this.#act(operationId, record, action)
    // Who waits for it is told that it has to ask again.
    this.#runs.giveUp(claim)
    const { operation, tenant, correlationId, fence } = record
    const subject = { operation, tenant, correlationId, fence }
    return { kind: 'done', view: this.examine(operationId), subject }
  }

  #act(operationId: string, record: OperationRecord, action: OperatorAction): void {
    const claim = toRef(operationId, record)
    if (action.kind === 'erase') {
      this.#ledger.erase(operationId)
      return
    }
    if (action.kind === 'release') {
      const { originStatus = null, fault = null } = record.attempts.at(-1) ?? {}
      const evidence = { originStatus, fault }
      this.#ledger.settle(claim, { outcome: 'unknown', reason: 'owner-lost', evidence }, null)
      return
    }
    const pieces = 'body' in action ? toPieces(action.body) : null
    const body = pieces && { generation: createGeneration(), firstPart: 0, pieces }
    this.#ledger.settle(claim, toOperatorSettlement(action, record), body)
  }

  #view(operationId: string, record: OperationRecord): OperatorView {
    return toOperatorView(operationId, record, {
      isRunning: this.#flights.isRunning(operationId),
      isRecovering: record.state === 'unknown' && isRecoverable(record, Date.now()),
      pendingEvents: this.#ledger.countEvents(operationId),
    })
  }
}
