import type { SnapshotHead } from './snapshot.ts'

/** What is done about an operation whose outcome is unknown. */
export type UnknownPolicy = 'hold' | 'resend'

/** How long a record is remembered. Kept in the record: it must hold without any request. */
export interface Memory {
  /** Milliseconds from settling. */
  readonly retentionMs: number
  /** Milliseconds after retention in which a late retry is refused. */
  readonly tombstoneMs: number
}

/** Who drives a claim: the object itself, or a Worker under a lease. */
export type Owner =
  | { readonly kind: 'object' }
  | { readonly kind: 'worker'; readonly leaseUntil: number }

/** What every record holds, whatever its state. */
export interface RecordBase extends Memory {
  /** Name of the operation, as in metrics and contract. */
  readonly operation: string
  readonly fingerprint: string
  /** Attempt number of the last claim, from 1. */
  readonly fence: number
  /** Random name of the last claim: tells it from a claim of the same fence after a release. */
  readonly claimId: string
  /** Correlation id of the request that made the last claim. */
  readonly correlationId: string
  /** Epoch milliseconds of the first claim, and of the last. */
  readonly createdAt: number
  readonly claimedAt: number
}

export interface InProgressRecord extends RecordBase {
  readonly state: 'in_progress'
  readonly owner: Owner
}

export interface SettledRecord extends RecordBase {
  readonly state: 'succeeded' | 'failed'
  readonly settledAt: number
  readonly expiresAt: number
  readonly snapshot: SnapshotHead
}

/** Why nobody can say whether the operation was executed. */
export type UnknownReason =
  | 'origin-answered' // with a status that leaves it open
  | 'origin-timeout'
  | 'connection-lost'
  | 'owner-lost' // the object or the Worker that drove it went away
  | 'handler-threw'

export interface UnknownRecord extends RecordBase {
  readonly state: 'unknown'
  readonly reason: UnknownReason
  /** What the origin answered, where it answered. */
  readonly originStatus: number | null
  readonly settledAt: number
  readonly expiresAt: number
}

/** The tombstone: its snapshot is gone, its key is still refused. */
export interface ExpiredRecord extends RecordBase {
  readonly state: 'expired'
  readonly settledAt: number
  readonly expiresAt: number
}

/** What is stored of an operation. */
export type OperationRecord = InProgressRecord | SettledRecord | UnknownRecord | ExpiredRecord

/** Names one claim; a settle must present the one that it ends. */
export interface ClaimRef {
  readonly operationId: string
  readonly fence: number
  readonly claimId: string
}

/** The fields that a record keeps when its state changes. */
export function toBase(record: OperationRecord): RecordBase {
  const { operation, fingerprint, fence, claimId, correlationId } = record
  const { createdAt, claimedAt, retentionMs, tombstoneMs } = record
  const claim = { operation, fingerprint, fence, claimId, correlationId }
  return { ...claim, createdAt, claimedAt, retentionMs, tombstoneMs }
}
