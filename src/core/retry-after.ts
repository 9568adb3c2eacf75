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
