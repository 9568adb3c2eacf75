import {
  toBase,
  type ExpiredRecord,
  type Memory,
  type OperationRecord,
  type SettledRecord,
  type UnknownRecord,
} from './record.ts'

/** What only the caller of the decision can know. */
export interface ClaimFacts {
  /** Epoch milliseconds. */
  readonly now: number
  /** Whether this object holds the running call of the record in memory. */
  readonly isRunning: boolean
  /** Whether the client whose request made the result still reads it. */
  readonly isBeingRead: boolean
}

/**
 * Whether retention is over and only a late retry is still refused. Never while in progress or
 * held, not while the origin is called about it, and not before its own client has the result.
 */
export function isExpired(record: OperationRecord, facts: ClaimFacts): boolean {
  const endsAt = retentionEndsAt(record)
  return endsAt !== null && facts.now >= endsAt && !isInUse(record, facts)
}

function isInUse({ state }: OperationRecord, { isRunning, isBeingRead }: ClaimFacts): boolean {
  if (state === 'unknown') return isRunning
  return state !== 'expired' && isBeingRead
}

/** Whether nothing of the operation counts any more: its key is new again. */
export function isForgotten(record: OperationRecord, facts: ClaimFacts): boolean {
  const endsAt = retentionEndsAt(record)
  return isExpired(record, facts) && endsAt !== null && facts.now >= endsAt + record.tombstoneMs
}

function retentionEndsAt(record: OperationRecord): number | null {
  return record.state === 'in_progress' ? null : record.expiresAt
}

/** What is left of a record whose retention is over. */
export function toTombstone(record: SettledRecord | UnknownRecord): ExpiredRecord {
  const { state: outcome, settledAt, expiresAt } = record
  const times = { settledAt, expiresAt: expiresAt ?? settledAt }
  return { ...toBase(record), state: 'expired', outcome, ...times }
}

/**
 * Remembers an operation for as long as its route has it by now, and never shorter than it was. A
 * time that the origin has set, below that of the route, stays.
 */
export function remember<record extends OperationRecord>(record: record, asked: Memory): record {
  const longerMs = Math.max(0, asked.retentionMs - record.retentionMs)
  const tombstoneMs = Math.max(asked.tombstoneMs, record.tombstoneMs)
  if (longerMs === 0 && tombstoneMs === record.tombstoneMs) return record
  const memory = { tombstoneMs, retentionMs: record.retentionMs + longerMs }
  // What has become a tombstone stays one.
  const isOpen = record.state === 'in_progress' || record.state === 'expired'
  if (isOpen || record.expiresAt === null) return { ...record, ...memory }
  const isByRoute = record.expiresAt - record.settledAt >= record.retentionMs
  return { ...record, ...memory, expiresAt: record.expiresAt + (isByRoute ? longerMs : 0) }
}

/** Reading that ends so soon after the settle, in parts of retention, moves nothing: each change is a write. */
const SOON = 0.01
const SOON_MS = 1_000

/** A client that still reads so long after the settle is a slow one; others are a few pieces behind. */
const SLOW_MS = 500

/**
 * How long the last bytes that a slow client was handed may be on their way: the buffers of a
 * network, which nobody sees from here, hold megabytes. They swallow most of what a client of some
 * seconds has still to read, and little of what one of minutes has.
 */
const REST_PER_READ = 4
const USUAL_REST_MS = 10_000
const MAX_REST_MS = 60_000

/**
 * Tells when a client has a result, as well as can be known: a slow one is still reading when it
 * was handed the last byte.
 *
 * @param endedAt Epoch milliseconds of that.
 */
export function estimateReceipt(record: SettledRecord, endedAt: number): number {
  const { snapshot, claimedAt, settledAt } = record
  // What is not kept comes at the pace of its client, so that settling waits for it as well.
  const tookMs = endedAt - (snapshot.body === 'omitted' ? claimedAt : settledAt)
  if (tookMs < SLOW_MS) return endedAt
  const restMs = Math.max(tookMs, Math.min(USUAL_REST_MS, REST_PER_READ * tookMs))
  return endedAt + Math.min(MAX_REST_MS, restMs)
}

/**
 * Counts retention anew from when the client whose request it was has the result, or has left.
 *
 * @param at Epoch milliseconds of that.
 * @returns `null` where that is as good as when it was settled.
 */
export function countFrom(record: SettledRecord, at: number): SettledRecord | null {
  const { settledAt, expiresAt } = record
  const retentionMs = expiresAt - settledAt
  if (at - settledAt < Math.min(SOON_MS, SOON * retentionMs)) return null
  return { ...record, expiresAt: at + retentionMs }
}
