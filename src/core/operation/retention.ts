import {
  toBase,
  type ExpiredRecord,
  type Memory,
  type OperationRecord,
  type SettledRecord,
  type UnknownRecord,
} from './record.ts'

/** Facts that are not in the record. */
export interface ClaimFacts {
  /** Epoch milliseconds. */
  readonly now: number
  /** Whether this object holds the running call of the record in memory. */
  readonly isRunning: boolean
  /** Whether the client of the first request still reads the result. */
  readonly isBeingRead: boolean
}

/**
 * Whether retention is over, so that only late retries are refused. Never while the operation is in
 * progress or held, while the origin is asked about it, or while its own client reads the result.
 */
export function isExpired(record: OperationRecord, facts: ClaimFacts): boolean {
  const endsAt = retentionEndsAt(record)
  return endsAt !== null && facts.now >= endsAt && !isInUse(record, facts)
}

function isInUse({ state }: OperationRecord, { isRunning, isBeingRead }: ClaimFacts): boolean {
  if (state === 'unknown') return isRunning
  return state !== 'expired' && isBeingRead
}

/** Whether the operation is forgotten: its key is new again. */
export function isForgotten(record: OperationRecord, facts: ClaimFacts): boolean {
  const endsAt = retentionEndsAt(record)
  return isExpired(record, facts) && endsAt !== null && facts.now >= endsAt + record.tombstoneMs
}

function retentionEndsAt(record: OperationRecord): number | null {
  return record.state === 'in_progress' ? null : record.expiresAt
}

/** Reduces a record to its tombstone. */
export function toTombstone(record: SettledRecord | UnknownRecord): ExpiredRecord {
  const { state: outcome, settledAt, expiresAt } = record
  const times = { settledAt, expiresAt: expiresAt ?? settledAt }
  return { ...toBase(record), state: 'expired', outcome, ...times }
}

/**
 * Extends the memory of an operation to the present policy of its route. It is never shortened, and a
 * shorter time that the origin has set stays.
 */
export function remember<record extends OperationRecord>(record: record, asked: Memory): record {
  const longerMs = Math.max(0, asked.retentionMs - record.retentionMs)
  const tombstoneMs = Math.max(asked.tombstoneMs, record.tombstoneMs)
  if (longerMs === 0 && tombstoneMs === record.tombstoneMs) return record
  const memory = { tombstoneMs, retentionMs: record.retentionMs + longerMs }
  const isOpen = record.state === 'in_progress' || record.state === 'expired'
  if (isOpen || record.expiresAt === null) return { ...record, ...memory }
  const isByRoute = record.expiresAt - record.settledAt >= record.retentionMs
  return { ...record, ...memory, expiresAt: record.expiresAt + (isByRoute ? longerMs : 0) }
}

/** If reading ends this soon after the settle, relative to retention, the expiry stays: each change is a write. */
const SOON = 0.01
const SOON_MS = 1_000

/** A client that still reads this long after the settle is slow. Others are a few pieces behind. */
const SLOW_MS = 500

/**
 * How long the last bytes for a slow client may be on their way. The buffers of the network hold
 * megabytes: most of what a client of some seconds still has to read, little for one of minutes.
 */
const REST_PER_READ = 4
const USUAL_REST_MS = 10_000
const MAX_REST_MS = 60_000

/**
 * Estimates when a client has received a result. A slow one still reads after the last byte was sent.
 *
 * @param endedAt Epoch milliseconds of the last byte.
 */
export function estimateReceipt(record: SettledRecord, endedAt: number): number {
  const { snapshot, claimedAt, settledAt } = record
  // A response that is not kept is read at the pace of its client, and settled after that.
  const tookMs = endedAt - (snapshot.body === 'omitted' ? claimedAt : settledAt)
  if (tookMs < SLOW_MS) return endedAt
  const restMs = Math.max(tookMs, Math.min(USUAL_REST_MS, REST_PER_READ * tookMs))
  return endedAt + Math.min(MAX_REST_MS, restMs)
}

/**
 * Counts retention from when the client of the first request has the result, or has left.
 *
 * @param at Epoch milliseconds.
 * @returns `null` if that is almost the time of the settle.
 */
export function countFrom(record: SettledRecord, at: number): SettledRecord | null {
  const { settledAt, expiresAt } = record
  const retentionMs = expiresAt - settledAt
  if (at - settledAt < Math.min(SOON_MS, SOON * retentionMs)) return null
  return { ...record, expiresAt: at + retentionMs }
}
