import type { EventRule } from '../event/event.ts'
import type { OriginFault, Outcome } from '../outcome/outcome.ts'
import type { Recovery } from './recovery.ts'
import type { StoredHead } from './snapshot.ts'

/** How long an operation is remembered. Part of the record, since the alarm has no request. */
export interface Memory {
  /** Milliseconds from settling. */
  readonly retentionMs: number
  /** Milliseconds after retention in which a late retry is refused. */
  readonly tombstoneMs: number
}

/** Names a delivered message. A message that is moved to another queue is another message. */
export interface MessageRef {
  readonly queue: string
  readonly id: string
}

/** The message whose delivery made a claim. */
export interface Carrier extends MessageRef {
  /** Whether its policy has at most one more delivery for it, which may find only an old lease. */
  readonly isNearEnd: boolean
}

/** Who drives a claim: the object itself, or a Worker under a lease. */
export type Owner =
  | { readonly kind: 'object' }
  | { readonly kind: 'worker'; readonly leaseUntil: number }

/** The evidence of one call. */
export interface Attempt {
  readonly fence: number
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | null
  /** Status of the origin's answer, even if its body broke off; `null`: no headers were received. */
  readonly originStatus: number | null
  /** Why there was no complete answer. Only `not-sent` proves that nothing was sent. */
  readonly fault: OriginFault | null
  readonly outcome: Outcome | null
  /** For how many milliseconds from its end the origin asks for no other call. */
  readonly retryAfterMs?: number
}

/** The facts of a claim that are stored in its record. */
export interface ClaimedFacts extends Memory {
  /** Name of the operation, as in metrics and contract. */
  readonly operation: string
  readonly tenant: string
  readonly fingerprint: string
  /** Digests of the request's parts, sealed with its key. They tell how another request differs. */
  readonly places: string
  /** Random name of the last claim. After a release, another claim can have the same fence. */
  readonly claimId: string
  /** Correlation id of the request that made the last claim. */
  readonly correlationId: string
  /** W3C Trace Context of that request. */
  readonly traceparent: string
  /** What is done if the outcome is unknown. */
  readonly recovery: Recovery
  /** Path at the origin that is asked before each replay, or `null`. */
  readonly reauthorizePath: string | null
  /** Name of the origin; absent for the deployment's own. */
  readonly origin?: string
  /** Whether the client was told that the operation continues without it (202). */
  readonly isAccepted: boolean
  /** The events to send when its state changes; `null`: it is only observed and sends none. */
  readonly events: readonly EventRule[] | null
  /** The message whose delivery made the last claim; absent if a request did. */
  readonly carrier?: Carrier
}

/** What every record holds, whatever its state. */
export interface RecordBase extends ClaimedFacts {
  /** The version of the record's form. Absent in records from before versions. */
  readonly version?: number
  /** Attempt number of the last claim, from 1. */
  readonly fence: number
  /** Epoch milliseconds of the first claim, and of the last. */
  readonly createdAt: number
  readonly claimedAt: number
  /** The last calls that were made. */
  readonly attempts: readonly Attempt[]
}

export interface InProgressRecord extends RecordBase {
  readonly state: 'in_progress'
  readonly owner: Owner
  /** Set while it is called again after its outcome was unknown. */
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
  /** Retention counts from settling, or from when its own client has the whole response. */
  readonly expiresAt: number
  readonly snapshot: StoredHead
  /** Set if the Worker with the claim settled it, not the object, a probe or an operator. */
  readonly settledBy?: 'worker'
  /** The body of the snapshot, even if no piece of it is kept. Absent if there was none. */
  readonly generation?: Generation
}

/**
 * Names one body of an operation, made by one attempt, by its status resource or by an operator.
 * Nothing else is ever stored or read under this name.
 */
export type Generation = `answer:${string}`

/** Why it is not known whether the operation was executed. */
export type UnknownReason =
  | 'origin-answered' // with a status that does not tell
  | 'origin-timeout'
  | 'connection-lost'
  | 'owner-lost' // the object restarted, or the lease of the Worker ended
  | 'handler-threw'

export interface UnknownRecord extends RecordBase {
  readonly state: 'unknown'
  readonly reason: UnknownReason
  /** Epoch milliseconds at which it became unknown. */
  readonly settledAt: number
  /** When it is forgotten. `null` under `hold` and `probe`: once forgotten, it would be executed again. */
  readonly expiresAt: number | null
  /** Recoveries begun by alarm so far, and when the next one is due, in epoch milliseconds. */
  readonly recoveryCount: number
  readonly recoveryAt: number
}

/**
 * An object says that another one guards an operation. It answers so to every question about it, and
 * whoever asked asks there.
 */
export interface Moved {
  readonly kind: 'moved'
  /** Name of the other object. */
  readonly to: string
  /** Epoch milliseconds. Of two objects that name each other, the later word counts. */
  readonly at: number
}

/** A tombstone: the snapshot is deleted, the key is still refused. */
export interface ExpiredRecord extends RecordBase {
  readonly state: 'expired'
  /** How it ended. Absent in records of an earlier version. */
  readonly outcome?: 'succeeded' | 'failed' | 'unknown'
  readonly settledAt: number
  readonly expiresAt: number
  /** Set if nothing has expired: another object guards the operation. */
  readonly moved?: Moved
}

/** The record of an operation. */
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
  origin: true,
  events: true,
  carrier: true,
  version: true,
}

/** The newest form of a record that this version knows. */
const RECORD_VERSION = 2

/**
 * The form of a record. Only one with an origin of its own has the second form: an earlier version of
 * Hapax would call the deployment's origin for it, and refuses it instead.
 */
export function recordVersionOf({ origin }: Pick<ClaimedFacts, 'origin'>): number {
  return origin === undefined ? 1 : RECORD_VERSION
}

/** A record that a newer version wrote, in a form that this one does not know. */
export class NewerRecord extends Error {
  override readonly name = 'NewerRecord'

  constructor() {
    super('A record was written by a newer version of the gateway. Deploy that version again.')
  }
}

/**
 * Reads a stored record.
 *
 * @throws {NewerRecord} Nothing may be executed or replayed then.
 */
export function parseRecord(text: string): OperationRecord {
  const record = JSON.parse(text) as OperationRecord
  if ((record.version ?? 1) <= RECORD_VERSION) return record
  throw new NewerRecord()
}

/** The same, for a list: `null` for a record that a newer version wrote, which does not hold up the others. */
export function parseIfKnown(text: string): OperationRecord | null {
  try {
    return parseRecord(text)
  } catch (error) {
    if (error instanceof NewerRecord) return null
    throw error
  }
}

/** Removes the fields that belong to one state only. */
export function toBase(record: OperationRecord): RecordBase {
  return Object.fromEntries(
    Object.entries(record).filter(([name]) => name in BASE),
  ) as unknown as RecordBase
}

/**
 * The doubt about an operation, even while it is called again. It ends with a final outcome, or when no
 * call of the operation can have been executed.
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

/** Whether a record has a result. */
export function isSettled(record: OperationRecord | null): record is SettledRecord {
  return record?.state === 'succeeded' || record?.state === 'failed'
}

/** Names the last claim of an operation. */
export function toRef(operationId: string, { fence, claimId }: OperationRecord): ClaimRef {
  return { operationId, fence, claimId }
}

/** Who drives an operation: while the origin is asked about it, the object. */
export function ownerOf(record: OperationRecord): Owner {
  return record.state === 'in_progress' ? record.owner : { kind: 'object' }
}
