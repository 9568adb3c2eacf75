import { parseTime } from '../time.ts'
import type { OuterRetry } from './retry.ts'

/** Highest attempt number that is accepted. */
const MAX_ATTEMPT = 1_000

const EPOCH_MS = /^\d{12,15}$/
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

/**
 * Reads the retries of the calling layer: `Idempotency-Attempt`, from 1, and `X-Request-Deadline`,
 * epoch milliseconds or an RFC 3339 date-time. A missing or malformed header sets no bound.
 */
export function readOuterRetry(headers: Headers): OuterRetry {
  const attempt = Number(headers.get('Idempotency-Attempt') ?? 1)
  const isAttempt = Number.isInteger(attempt) && attempt >= 1
  return {
    attempt: isAttempt ? Math.min(attempt, MAX_ATTEMPT) : 1,
    deadlineAt: parseDeadline(headers.get('X-Request-Deadline') ?? ''),
  }
}

function parseDeadline(text: string): number | null {
  if (EPOCH_MS.test(text)) return Number(text)
  return RFC_3339.test(text) ? parseTime(text) : null
}
