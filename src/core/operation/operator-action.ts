import { isUnexecuted } from './attempts.ts'
import type { OperatorView } from './operator-view.ts'
import type { OperationRecord } from './record.ts'
import type { Settlement } from './settle.ts'
import type { HeaderField } from './snapshot.ts'

/** What an operator does to an operation. */
export type OperatorAction =
  /** Gives up a claim whose owner is lost: the outcome is unknown, and the policy decides. */
  | { readonly kind: 'release' }
  /** Reports the outcome of an operation whose outcome is unknown. */
  | {
      readonly kind: 'resolve'
      readonly outcome: 'succeeded' | 'failed'
      readonly status: number
      readonly headers: readonly HeaderField[]
      readonly body: Uint8Array<ArrayBuffer>
    }
  | { readonly kind: 'resolve'; readonly outcome: 'not_executed' }
  /** Forgets the operation: its key is new again. */
  | { readonly kind: 'erase' }

/** The result of an action. `because` is for people. */
export type OperatorResult =
  | { readonly kind: 'done'; readonly view: OperatorView | null; readonly subject: OperatorSubject }
  | { readonly kind: 'refused'; readonly because: string }
  | { readonly kind: 'not-found' }

/** The operation and its tenant, for the audit. */
interface OperatorSubject {
  readonly operation: string
  readonly tenant: string
  readonly correlationId: string
  readonly fence: number
}

/** @returns Why an action is not possible, for people, or `null`. */
export function refuseAction(
  { kind }: OperatorAction,
  record: OperationRecord,
  isRunning: boolean,
): string | null {
  if (isRunning) return 'The origin is being called for it right now. Wait for the end of the call.'
  if (kind === 'release' && record.state !== 'in_progress') {
    return `Only an operation in progress is released; this one is ${record.state}.`
  }
  // Released, it would be in doubt, and it is not.
  if (kind === 'release' && isUnexecuted(record)) {
    return 'Nobody holds it: no call of it was executed, and the next one is free to be made.'
  }
  if (kind === 'resolve' && record.state !== 'unknown') {
    return `Only an unknown outcome is resolved; this one is ${record.state}.`
  }
  return null
}

/** How an operator's decision ends a claim. The evidence of the last call stays. */
export function toOperatorSettlement(
  action: Extract<OperatorAction, { kind: 'resolve' }>,
  { attempts }: OperationRecord,
): Settlement {
  const { originStatus = null, fault = null, endedAt = null } = attempts.at(-1) ?? {}
  const evidence = { originStatus, fault, ...(endedAt !== null && { endedAt }) }
  if (action.outcome === 'not_executed') {
    return { outcome: 'not_executed', coversAll: true, evidence }
  }
  const { outcome, status, headers, body } = action
  const bodyBytes = body.byteLength
  const kept = bodyBytes === 0 ? 'none' : 'kept'
  const snapshot = { status, headers, corsOrigin: null, bodyBytes, body: kept } as const
  return { outcome, snapshot, retentionMs: null, evidence }
}
