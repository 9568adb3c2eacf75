import { parseTime } from './time.ts'

const MIN_MS = 1_000
const MAX_MS = 30_000

/**
 * How long a duplicate should stay away from an operation that still runs: as long as it has run
 * so far, between 1 and 30 seconds, and up to as much again by chance, so that duplicates
 * that were turned away together do not come back together.
 *
 * @param runningMs Milliseconds since the claim.
 * @param random A number in [0, 1).
 */
export function retryAfterMs(runningMs: number, random: number): number {
  const base = Math.min(MAX_MS, Math.max(MIN_MS, runningMs))
  return Math.round(base * (1 + random))
}

/**
 * Reads `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
 *
 * @param now Epoch milliseconds.
 * @returns Milliseconds, or `null` where there is none that can be read.
 */
export function parseRetryAfter(field: string | null, now: number): number | null {
  if (field === null) return null
  if (/^\d{1,9}$/.test(field)) return Number(field) * 1_000
  const at = parseTime(field)
  return at === null ? null : Math.max(0, at - now)
}
