import { en } from 'zod/locales'
import * as z from 'zod/mini'

import { type Duration, parseDuration } from '../core/duration.ts'
import { OUTCOMES } from '../core/outcome.ts'
import { err, ok, type Result } from '../core/result.ts'

z.config(en())

const MIB = 1_048_576
const DAY_MS = 86_400_000

/** A duration within bounds, read into whole milliseconds. */
const duration = (bounds: { readonly minMs?: number; readonly maxMs: number }) =>
  z.pipe(
    z.custom<Duration>(
      (value) => {
        const ms = parseDuration(value)
        return ms !== null && ms >= (bounds.minMs ?? 0) && ms <= bounds.maxMs
      },
      `must be a duration such as '10s' or '24h', ${bounds.minMs ?? 0} to ${bounds.maxMs} ms`,
    ),
    z.transform((value) => parseDuration(value) ?? 0),
  )

const wholeNumber = (min: number, max: number) =>
  z.number().check(z.int(), z.minimum(min), z.maximum(max))

const pointer = z
  .string()
  .check(
    z.regex(/^(?:\/(?:[^~]|~[01])*)+$/, "must be a JSON pointer (RFC 6901) such as '/sent_at'"),
  )

const headerName = z
  .string()
  .check(z.regex(/^[!#$%&'*+\-.^_`|~\w]+$/, 'must be the name of a header field'))

const outcomeRule = z
  .string()
  .check(z.regex(/^[2-5](?:\d\d|xx)$/, "must be a status such as '409' or a range such as '5xx'"))

const FingerprintSchema = z.strictObject({
  /** JSON pointers to what does not count: trace ids, times of sending. */
  ignore: z._default(z.array(pointer), []),
  /** JSON pointers to RFC 3339 date-times, which are compared as instants. */
  dates: z._default(z.array(pointer), []),
  /** Header fields that count. */
  headers: z._default(z.array(headerName), []),
  /** `false` leaves the query out. */
  query: z._default(z.boolean(), true),
})

const LimitsSchema = z.strictObject({
  /** Largest request body in bytes; above it 413. */
  request: z._default(wholeNumber(0, 25 * MIB), MIB),
  /** Largest response body that is kept, in bytes; of a larger one only status and headers are. */
  response: z._default(wholeNumber(0, 25 * MIB), 8 * MIB),
})

const SnapshotSchema = z.strictObject({
  /** Whether `Set-Cookie` is replayed. */
  setCookie: z._default(z.boolean(), false),
  /** Further header fields that are not kept. */
  omit: z._default(z.array(headerName), []),
})

/** The policy of a protected route: every field with its default. */
const PolicySchema = z.strictObject({
  /** Name of the operation in records, metrics and contract; else method and route pattern. */
  operation: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
  /** `false`: a request without a key is forwarded unprotected and counted as such. */
  required: z._default(z.boolean(), true),
  /** `'off'`: the route is as if it were not protected. */
  mode: z._default(z.enum(['enforce', 'off']), 'enforce'),
  /** How long a settled operation is remembered, from settling. */
  retention: z._default(duration({ minMs: 1_000, maxMs: 365 * DAY_MS }), DAY_MS),
  /** How long after that a late retry is refused. */
  tombstone: z._default(duration({ maxMs: 365 * DAY_MS }), 0),
  /** How long an in-flight duplicate waits for the running call. */
  wait: z._default(duration({ maxMs: 60_000 }), 10_000),
  /** How long the origin may take to its headers, and then be silent between two chunks. */
  timeout: z._default(duration({ minMs: 10, maxMs: 600_000 }), 30_000),
  /** How long a claim made by a Worker stands without renewal. */
  lease: z._default(duration({ minMs: 1_000, maxMs: 600_000 }), 60_000),
  /** What of a request tells it from another. */
  fingerprint: z.prefault(FingerprintSchema, {}),
  /** Outcomes by status or range, where the table does not fit. */
  outcomes: z._default(z.record(outcomeRule, z.enum(OUTCOMES)), {}),
  /** What is done about an unknown outcome: hold it, or send it again (for an idempotent origin). */
  unknown: z._default(z.enum(['hold', 'resend']), 'hold'),
  limits: z.prefault(LimitsSchema, {}),
  snapshot: z.prefault(SnapshotSchema, {}),
  /** Status of a mismatch. */
  mismatchStatus: z._default(z.literal([409, 422, 400]), 409),
  /** What the origin gets as `Idempotency-Key`. */
  forwardKey: z._default(z.literal(['derived', 'client', false]), 'derived'),
})

/** A route's policy as a deployer writes it. Every field is optional. */
export type PolicyOptions = z.input<typeof PolicySchema>

/** A policy with every default filled in; times are milliseconds, sizes are bytes. */
export type Policy = Readonly<z.output<typeof PolicySchema>>

/**
 * Reads a route's policy.
 *
 * @returns The policy, or a line for each wrong field: where it is and what it must be.
 */
export function parsePolicy(options: PolicyOptions): Result<Policy, readonly string[]> {
  const parsed = PolicySchema.safeParse(options)
  if (parsed.success) return ok(parsed.data)
  return err(
    parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'policy'}: ${message}`),
  )
}
