import { idNumber } from './id-number.ts'
import type { OperationRecord } from './record.ts'

/** The shortest bucket, in milliseconds. */
const SHORTEST_MS = 60_000
/** The time for which a record is kept spans so many buckets at least, and twice as many at most. */
const PER_RECORD = 4

/** Until when a record is kept, in epoch milliseconds. For a claim, as if it were settled at once. */
export function keptUntil(record: OperationRecord): number {
  const { claimedAt, retentionMs, tombstoneMs } = record
  const expiresAt = record.state === 'in_progress' ? null : record.expiresAt
  return (expiresAt ?? claimedAt + retentionMs) + tombstoneMs
}

/**
 * The end of the bucket of a record, in epoch milliseconds: the records of a bucket are deleted
 * together. Its length is a power of two in minutes, so that routes of different retention share
 * buckets.
 */
export function bucketEndOf(record: OperationRecord, now: number): number {
  // The origin, or a move to another object, may set a much longer time than the route.
  const keptMs = Math.max(record.retentionMs + record.tombstoneMs, keptUntil(record) - now)
  const longestMs = keptMs / PER_RECORD
  const lengthMs = SHORTEST_MS * 2 ** Math.max(0, Math.floor(Math.log2(longestMs / SHORTEST_MS)))
  return Math.ceil(Math.max(keptUntil(record), now + 1) / lengthMs) * lengthMs
}

/** The characters of an id that its number is made of: 48 bits, apart from those that choose its shard. */
const FIRST = 24
const LAST = 32

/**
 * A number for an operation's id, as the key of its row. Two ids may share one.
 *
 * @returns An integer from 1 to 2^48.
 */
export function numberOf(operationId: string): number {
  return idNumber(operationId.slice(FIRST, LAST)) + 1
}
