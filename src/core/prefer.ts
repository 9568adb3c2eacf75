/** Longest wait that a client may ask for, in milliseconds. */
const MAX_WAIT_MS = 60_000

const WAIT = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,20})"?\s*(?=$|[,;])/i
const ASYNC = /(?:^|[,;])\s*respond-async\s*(?=$|[,;])/i

/** What a client prefers (RFC 7240). */
export interface Preference {
  /** `wait=n` (§4.3) in milliseconds, 60,000 at most, or `null` when it does not say. */
  readonly waitMs: number | null
  /** `respond-async` (§4.1): it comes back for the result. */
  readonly isAsync: boolean
}

/** Reads `Prefer`; what is not understood counts as not said. */
export function readPreference(headers: Headers): Preference {
  const field = headers.get('prefer') ?? ''
  const [, seconds] = WAIT.exec(field) ?? []
  return {
    waitMs: seconds === undefined ? null : Math.min(MAX_WAIT_MS, Number(seconds) * 1_000),
    isAsync: ASYNC.test(field),
  }
}
