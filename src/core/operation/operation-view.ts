import type { OperationRecord, UnknownReason } from './record.ts'
import { type HeaderField, isSealed } from './snapshot.ts'

/** What a tenant may see of its operation. Times are RFC 3339. */
export interface OperationView {
  readonly id: string
  readonly operation: string
  readonly state: OperationRecord['state']
  readonly correlationId: string
  readonly createdAt: string
  /** Calls made so far. */
  readonly attempts: number
  readonly settledAt?: string
  readonly expiresAt?: string
  /** Why the outcome is unknown. */
  readonly reason?: UnknownReason
  /** When the alarm handles it next, if it does. */
  readonly nextAttemptAt?: string
  /** Without status and headers if it is sealed, or if the origin decides who may have it. */
  readonly result?: {
    readonly status?: number
    readonly headers?: Readonly<Record<string, string>>
  }
}

/** What the record alone does not say. */
export interface ViewFacts {
  /** Writes epoch milliseconds as RFC 3339. */
  readonly toTime: (epochMs: number) => string
  /** Whether the alarm still does something about an unknown outcome. */
  readonly isRecovering: boolean
}

/** Shows a record to its tenant. */
export function toOperationView(
  id: string,
  record: OperationRecord,
  { toTime, isRecovering }: ViewFacts,
): OperationView {
  const { operation, state, correlationId, createdAt, fence } = record
  const created = { createdAt: toTime(createdAt), attempts: fence }
  const known = { id, operation, state, correlationId, ...created }
  if (record.state === 'in_progress') return known
  const settledAt = toTime(record.settledAt)
  const expiry = record.expiresAt !== null && { expiresAt: toTime(record.expiresAt) }
  const settled = { ...known, settledAt, ...expiry }
  switch (record.state) {
    case 'unknown': {
      const next = isRecovering && { nextAttemptAt: toTime(record.recoveryAt) }
      return { ...settled, reason: record.reason, ...next }
    }
    case 'expired':
      return settled
    case 'succeeded':
    case 'failed': {
      const { snapshot } = record
      if (isSealed(snapshot) || record.reauthorizePath !== null) return { ...settled, result: {} }
      const { status, headers } = snapshot
      return { ...settled, result: { status, headers: toObject(headers) } }
    }
  }
}

function toObject(fields: readonly HeaderField[]): Record<string, string> {
  // Cookies are for the one who gets the response itself.
  return Object.fromEntries(fields.filter(([name]) => name !== 'set-cookie'))
}
