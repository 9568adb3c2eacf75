import type { SettledRecord } from './record.ts'

/** Reading that ends so soon after the settle, in parts of retention, moves nothing: each change is a write. */
const SOON = 0.01
const SOON_MS = 1_000

/** A client that still reads so long after the settle is a slow one; others are a few pieces behind. */
const SLOW_MS = 1_000

/**
 * How long the last bytes that a slow client was handed may be on their way: the buffers of a
 * network, which nobody sees from here, hold megabytes.
 */
const MIN_REST_MS = 10_000
const MAX_REST_MS = 60_000

/**
 * Tells when a client has a result, as well as can be known: a slow one is still reading when it
 * was handed the last byte.
 *
 * @param endedAt Epoch milliseconds of that.
 */
export function estimateReceipt({ settledAt }: SettledRecord, endedAt: number): number {
  const tookMs = endedAt - settledAt
  if (tookMs < SLOW_MS) return endedAt
  // What is in the buffers takes no longer than what has gone through them, where that was more.
  return endedAt + Math.min(MAX_REST_MS, Math.max(MIN_REST_MS, tookMs))
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
