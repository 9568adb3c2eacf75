/** Longest wait that a client may ask for, in milliseconds. */
const MAX_WAIT_MS = 60_000

const WAIT = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,20})"?\s*(?=$|[,;])/i

/**
 * Reads how long a client is ready to wait from `Prefer: wait=n` (RFC 7240 §4.3).
 *
 * @returns Milliseconds, 60,000 at most, or `null` when it does not say.
 */
export function readPreferredWait(headers: Headers): number | null {
  const [, seconds] = WAIT.exec(headers.get('prefer') ?? '') ?? []
  return seconds === undefined ? null : Math.min(MAX_WAIT_MS, Number(seconds) * 1_000)
}
