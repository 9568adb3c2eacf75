import type { SettledRecord } from './record.ts'

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
