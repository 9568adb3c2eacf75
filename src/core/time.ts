/** Epoch milliseconds as RFC 3339 has them, in UTC. */
export function toTime(epochMs: number): string {
  // oxlint-disable-next-line no-restricted-globals -- this converts a time and reads no clock
  return new Date(epochMs).toISOString()
}

/** @returns Epoch milliseconds, or `null` where a date cannot be read. */
export function parseTime(date: string): number | null {
  // oxlint-disable-next-line no-restricted-globals -- this converts a time and reads no clock
  const epochMs = Date.parse(date)
  return Number.isNaN(epochMs) ? null : epochMs
}
