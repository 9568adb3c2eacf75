import type { HeaderField } from '../operation/snapshot.ts'
import { parseTime } from '../time.ts'

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

/** `Retry-After` in milliseconds (RFC 9110 §10.2.3): seconds, which some write with decimals, or a date. */
function parseRetryAfter(field: string | null, now: number): number | null {
  if (field === null) return null
  if (DECIMAL.test(field)) return toWholeMs(Number(field) * 1_000)
  // Every date has letters; without any, the platform would read `-1` as one.
  // The asctime form (RFC 9110 §5.6.7) ends with the year, and is in GMT as well.
  const at = /[a-z]/i.test(field) ? parseTime(field.replace(/ \d{4}$/, '$& GMT')) : null
  return at === null ? null : Math.max(0, at - now)
}

const DECIMAL = /^\d+(?:\.\d+)?$/

/** What nobody waits for is very long, and still a number that can be reckoned with and stored. */
const toWholeMs = (ms: number) => Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(ms))

/**
 * How long an answer asks to be left alone before another try: `retry-after-ms`, which some APIs
 * send as the more exact word, else `Retry-After`.
 *
 * @param now Epoch milliseconds.
 * @returns Milliseconds, or `null` where it does not say.
 */
export function readRetryAfter(headers: readonly HeaderField[], now: number): number | null {
  const inMs = valueOf(headers, 'retry-after-ms')
  if (inMs !== null && DECIMAL.test(inMs)) return toWholeMs(Number(inMs))
  return parseRetryAfter(valueOf(headers, 'retry-after'), now)
}

/** Whether an answer asks to be left alone for a time, and so for another try behind it. */
export function hasRetryAfter(headers: readonly HeaderField[]): boolean {
  return headers.some(([name]) => name === 'retry-after' || name === 'retry-after-ms')
}

/**
 * Whether an answer asks for another try, or forbids it: `X-Should-Retry`, else `Stripe-Should-Retry`.
 *
 * @returns `null` where it does not say.
 */
export function readShouldRetry(headers: readonly HeaderField[]): boolean | null {
  const said = valueOf(headers, 'x-should-retry') ?? valueOf(headers, 'stripe-should-retry')
  const word = said?.trim().toLowerCase()
  return word === 'true' || word === 'false' ? word === 'true' : null
}

/** @param name In lower case, as the fields have theirs. */
function valueOf(headers: readonly HeaderField[], name: string): string | null {
  return headers.find(([field]) => field === name)?.[1] ?? null
}
