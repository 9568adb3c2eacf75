import type { EventRule } from './event.ts'
import type { OriginFault, Outcome } from './outcome.ts'
import type { Recovery } from './recovery.ts'
import type { StoredHead } from './snapshot.ts'

/** How long a record is remembered. Kept in the record: it must hold without any request. */
export interface Memory {
  /** Milliseconds from settling. */
  readonly retentionMs: number
  /** Milliseconds after retention in which a late retry is refused. */
  readonly tombstoneMs: number
}

/** Names a delivered message, wherever it came from: one that is moved to another queue is another. */
export interface MessageRef {
  readonly queue: string
  readonly id: string
}

/** The message whose delivery has made a claim. */
export interface Carrier extends MessageRef {
  /** Whether its policy has one more delivery for it at most: that one may find no more than the lease of a dead one. */
  readonly isNearEnd: boolean
}

/** Who drives a claim: the object itself, or a Worker under a lease. */
export type Owner =
  | { readonly kind: 'object' }
  | { readonly kind: 'worker'; readonly leaseUntil: number }

/** Evidence of one call, as far as it is known. */
export interface Attempt {
  readonly fence: number
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | null
  /** Status of the origin's answer, also where its body broke off; `null`: no headers were received. */
  readonly originStatus: number | null
  /** Why there was no whole answer; `not-sent` is the only proof that nothing went out. */
  readonly fault: OriginFault | null
  readonly outcome: Outcome | null
  /** How long from its end the origin asks to be left alone before another try, in milliseconds. */
  readonly retryAfterMs?: number
}

/** What a record holds as the claim has brought it: a fact that is added here is stored. */
export interface ClaimedFacts extends Memory {
  /** Name of the operation, as in metrics and contract. */
  readonly operation: string
  readonly tenant: string
  readonly fingerprint: string
  /** Digests of what the request is made of, sealed with its key: they say in what another differs. */
  readonly places: string
  /** Random name of the last claim: tells it from a claim of the same fence after a release. */
  readonly claimId: string
  /** Correlation id of the request that made the last claim. */
  readonly correlationId: string
  /** W3C Trace Context of that request. */
  readonly traceparent: string
  /** What is done should the outcome be unknown. */
  readonly recovery: Recovery
  /** Path at the origin that is asked before the result is given out, or `null`. */
  readonly reauthorizePath: string | null
  /** Whether the client was told that it is driven to an end without it (202). */
  readonly isAccepted: boolean
  /**
   * Which events it leaves when its state changes; `null`: it is only observed, and leaves nothing
   * that anybody would act upon.
   */
  readonly events: readonly EventRule[] | null
  /** The message whose delivery made the last claim; absent where a request did. */
  readonly carrier?: Carrier
}

/** What every record holds, whatever its state. */
export interface RecordBase extends ClaimedFacts {
  /** Attempt number of the last claim, from 1. */
  readonly fence: number
  /** Epoch milliseconds of the first claim, and of the last. */
  readonly createdAt: number
  readonly claimedAt: number
  /** The calls that were made, the last ones. */
  readonly attempts: readonly Attempt[]
}

export interface InProgressRecord extends RecordBase {
  readonly state: 'in_progress'
  readonly owner: Owner
  /** Set while it is called again after its outcome was unknown: no end of it is known yet. */
  readonly doubt?: Doubt
}

/** Why the outcome of an operation is unknown, and since when. */
export interface Doubt {
  readonly reason: UnknownReason
  /** Epoch milliseconds. */
  readonly since: number
}

export interface SettledRecord extends RecordBase {
  readonly state: 'succeeded' | 'failed'
  readonly settledAt: number
  /** Retention counts from settling, or from when the client whose request it was has all of it. */
  readonly expiresAt: number
  readonly snapshot: StoredHead
  /** Whether the Worker that held the claim has settled it, and not the object, a probe or an operator. */
  readonly settledBy?: 'worker'
  /** Which body is the snapshot's, also where no piece of it is kept. Absent where there was none. */
  readonly generation?: Generation
}

/**
 * Names one body that was made for an operation, by one attempt of one life of it, by its status
 * resource or by an operator: nothing else is ever stored or read under this name.
 */
export type Generation = `answer:${string}`

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
  /** Epoch milliseconds since when it is unknown. */
  readonly settledAt: number
  /**
   * When it is forgotten, or `null`: an operation that is held or asked about is remembered until
   * its outcome is known, since a forgotten one would be executed again.
   */
  readonly expiresAt: number | null
  /** Recoveries begun by alarm so far, and when the next one is due, in epoch milliseconds. */
  readonly recoveryCount: number
  readonly recoveryAt: number
}

/** The tombstone: its snapshot is gone, its key is still refused. */
export interface ExpiredRecord extends RecordBase {
  readonly state: 'expired'
  /** How it ended. Absent in those of an earlier version: nobody knows any more. */
  readonly outcome?: 'succeeded' | 'failed' | 'unknown'
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

/** The fields that a record keeps when its state changes; optional ones may be missing. */
const BASE: Readonly<Record<keyof RecordBase, true>> = {
  operation: true,
  tenant: true,
  fingerprint: true,
  places: true,
  fence: true,
  claimId: true,
  correlationId: true,
  traceparent: true,
  createdAt: true,
  claimedAt: true,
  retentionMs: true,
  tombstoneMs: true,
  attempts: true,
  recovery: true,
  isAccepted: true,
  reauthorizePath: true,
  events: true,
  carrier: true,
}

/** Takes off a record what belongs to its state alone. */
export function toBase(record: OperationRecord): RecordBase {
  return Object.fromEntries(
    Object.entries(record).filter(([name]) => name in BASE),
  ) as unknown as RecordBase
}

/**
 * The doubt that an operation is in, also while it is called again: what was unknown once is so until
 * an end of it is known, or until it is known that no call of it was executed.
 */
export function doubtOf(record: OperationRecord | null): Doubt | null {
  if (record?.state === 'in_progress') return record.doubt ?? null
  if (record?.state !== 'unknown') return null
  return { reason: record.reason, since: record.settledAt }
}

/** For how many milliseconds it has been in doubt, or `null`. @param now Epoch milliseconds. */
export function doubtMs(record: OperationRecord | null, now: number): number | null {
  const doubt = doubtOf(record)
  return doubt === null ? null : Math.max(0, now - doubt.since)
}

/** Names the last claim of an operation. */
export function toRef(operationId: string, { fence, claimId }: OperationRecord): ClaimRef {
  return { operationId, fence, claimId }
}

/** Who drives a record: while the origin is asked about it, the object. */
export function ownerOf(record: OperationRecord): Owner {
  return record.state === 'in_progress' ? record.owner : { kind: 'object' }
}
