import type { HeaderField } from '../operation/snapshot.ts'

/** Longest wait that a client may ask for, in milliseconds. */
const MAX_WAIT_MS = 60_000

/** One preference and its parameters (RFC 7240 §2); a quoted string may hold commas. */
const PREFERENCE = /(?:[^",]|"(?:[^"\\]|\\.)*"?)+/g
const WAIT = /(?:^|;)\s*wait\s*=\s*"?(\d{1,20})"?\s*(?=$|;)/i
const ASYNC = /^\s*respond-async\s*(?=$|;)/i
/** Of the others parameters are theirs, whatever their names are. */
const OURS = /^\s*(?:wait|respond-async)\s*(?=$|[;=])/i

/** What a client prefers (RFC 7240). */
export interface Preference {
  /** `wait=n` (§4.3) in milliseconds, 60,000 at most, or `null` when it does not say. */
  readonly waitMs: number | null
  /** `respond-async` (§4.1): it comes back for the result. */
  readonly isAsync: boolean
}

/** Reads `Prefer`; what is not understood counts as not said. */
export function readPreference(headers: Headers): Preference {
  const ours = preferencesOf(headers.get('prefer') ?? '').filter((text) => OURS.test(text))
  const seconds = ours.map((text) => WAIT.exec(text)?.[1]).find((text) => text !== undefined)
  return {
    waitMs: seconds === undefined ? null : Math.min(MAX_WAIT_MS, Number(seconds) * 1_000),
    isAsync: ours.some((text) => ASYNC.test(text)),
  }
}

/**
 * What of a request's fields goes on where its preferences were obeyed: `Prefer` without those, as it
 * was written, and without them no such field.
 */
export function withoutObeyed(fields: readonly HeaderField[]): readonly HeaderField[] {
  return fields.flatMap(([name, value]): HeaderField[] => {
    if (name !== 'prefer') return [[name, value]]
    const all = preferencesOf(value)
    const left = all.filter((text) => !(OURS.test(text) && (WAIT.test(text) || ASYNC.test(text))))
    if (left.length === all.length) return [[name, value]]
    return left.length === 0 ? [] : [[name, left.join(',').trim()]]
  })
}

const preferencesOf = (field: string) => field.match(PREFERENCE) ?? []
