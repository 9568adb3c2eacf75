import type { Context } from 'hono'
import * as z from 'zod/mini'

import { type Duration, parseDuration } from '../core/duration.ts'
import { type Destination, toDestination } from '../core/event/destination.ts'
import { DELIVERY_RETRY, EVENT_STATES, type EventRule } from '../core/event/event.ts'
import type { FingerprintRules } from '../core/fingerprint/fingerprint.ts'
import { findPointerFaults } from '../core/fingerprint/pointer-faults.ts'
import {
  type FunctionProbe,
  probe as probeFunction,
  type ProbeFunction,
} from '../core/function/probe-function.ts'
import type { OutcomeJudge } from '../core/outcome/outcome-rules.ts'
import { OUTCOMES } from '../core/outcome/outcome.ts'
import {
  hasMcp,
  header,
  type KeySource,
  MCP_IGNORED,
  type SourceCode,
  type SourceIn,
} from '../core/request/key-source.ts'
import { type KeyFormat, MAX_KEY_LENGTH, UUID } from '../core/request/key.ts'
import { mismatchStatusOf, PRESETS } from '../core/response/preset.ts'
import { err, ok, type Result } from '../core/result.ts'
import { BUDGET as DEFAULT_BUDGET, RETRY_LIMITS } from '../core/retry/retry-options.ts'
import type { RetryPolicy } from '../core/retry/retry.ts'
import { toSchemaMessage } from './schema-messages.ts'

z.config({ customError: toSchemaMessage })

const MIB = 1_048_576

/** Default of the largest response body that is kept, in bytes. */
export const DEFAULT_RESPONSE_BYTES = 8 * MIB

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

/** Stops the other checks of a number that is not whole. */
export const whole = z.refine<number>((value) => Number.isSafeInteger(value), {
  error: 'Invalid input: expected int, received number',
  abort: true,
})

export const wholeNumber = (min: number, max: number) =>
  z.number().check(whole, z.minimum(min), z.maximum(max))

const matching = (pattern: RegExp, message: string) => z.string().check(z.regex(pattern, message))
const notEmpty = z.string().check(z.minLength(1))

const pointer = matching(
  /^(?:\/(?:[^~/]|~[01])*)+$/,
  "must be a JSON pointer (RFC 6901) such as '/sent_at'",
)

const headerName = matching(/^[!#$%&'*+\-.^_`|~\w]+$/, 'must be the name of a header field')

const method = matching(
  /^(?!ALL$)[!#$%&'*+\-.^_`|~\dA-Z]+$/,
  "must be a method in capitals, such as 'POST'",
)

const MUST_BE_SOURCE =
  "must be header(name), body(pointer), query(name), param(name), from(function), business(...pointers), repeatability(), mcp() or batch(items, key), with pointers such as '/order_id', and scope: 'tenant' or 'operation' where it is said"

const scope = z.enum(['tenant', 'operation'])

const toOneValue = z.refine<string>(
  (text) => !text.split('/').includes('*'),
  "must lead to one value in every body: '*' leads to many",
)

const keyPointer = pointer.check(toOneValue)
const batchPointer = matching(
  /^(?:\/(?:[^~/]|~[01])*)*$/,
  "must be a JSON pointer (RFC 6901) such as '/items', or ''",
).check(toOneValue)

/** Only the functions that make such sources have it. */
const code = z.custom<SourceCode>((value) => typeof value === 'object')

const KeySourceSchema = z.union(
  [
    z.strictObject({ in: z.literal('header'), name: headerName, scope }),
    z.strictObject({ in: z.literal('body'), pointer: keyPointer, scope }),
    z.strictObject({ in: z.literal('query'), name: notEmpty, scope }),
    z.strictObject({ in: z.literal('param'), name: notEmpty, scope }),
    z.strictObject({
      in: z.literal('function'),
      read: z.custom<SourceIn<'function'>['read']>((read) => typeof read === 'function'),
      scope,
    }),
    z.strictObject({
      in: z.literal('business'),
      pointers: z.array(keyPointer).check(z.minLength(1)),
      scope: z.literal('operation'),
    }),
    z.strictObject({ in: z.literal('repeatability'), scope: z.literal('tenant') }),
    z.strictObject({ in: z.literal('mcp'), meta: notEmpty, scope: z.literal('tenant'), code }),
    z.strictObject({
      in: z.literal('batch'),
      items: batchPointer,
      pointer: batchPointer,
      size: wholeNumber(1, 1_000),
      concurrency: wholeNumber(1, 100),
      scope,
      code,
    }),
  ],
  MUST_BE_SOURCE,
)

const FormatSchema = z.strictObject({
  /** What a key must match; `^` and `$` hold it to all of it. */
  pattern: z._default(z.instanceof(RegExp), /^/),
  /** In characters. */
  minLength: z._default(wholeNumber(1, MAX_KEY_LENGTH), 1),
})

const dateTime = z
  .string()
  .check(z.refine((text) => !Number.isNaN(Date.parse(text)), "must be a date such as '2027-03-01'"))

/** As a URL parser reads it: without the blanks around it, and without line breaks. */
const url = z.string().check(
  z.refine((text) => URL.canParse(text), 'Invalid URL'),
  z.overwrite((text) => text.trim().replaceAll(/[\t\n\r]/g, '')),
)

/** Announces to clients that such requests will be refused. */
const SunsetSchema = z.strictObject({
  /** From when on such requests are deprecated (RFC 9745). */
  deprecated: z.optional(dateTime),
  /** From when on they are refused (RFC 8594). */
  at: dateTime,
  /** Where people read about it. */
  link: z.optional(url),
})

const EnforceSchema = z.strictObject({
  /** Share of the tenants, always the same ones. */
  percent: z._default(z.number().check(z.minimum(0), z.maximum(100)), 0),
  /** Tenants by name, as metrics and log have them. */
  tenants: z._default(z.array(z.string()), []),
})

const OUTCOME_KEY = /^[2-5](?:\d\d|xx)$|^(?:\/(?:[^~/]|~[01])*)+$/

const OutcomesSchema = z
  .custom<OutcomeJudge | readonly OutcomeJudge[]>()
  .check(({ value, issues }) => {
    const faults = Array.isArray(value)
      ? value.flatMap((judge: unknown, index) => faultsOfJudge(judge, [index]))
      : faultsOfJudge(value)
    issues.push(...faults.map((fault) => ({ code: 'custom', input: value, ...fault }) as const))
  })

/** What is wrong, and where. */
interface Fault {
  readonly path: PropertyKey[]
  readonly message: string
}

/** Faults of a function, or of outcomes by status and range and by the values behind a pointer. */
function faultsOfJudge(judge: unknown, at: readonly PropertyKey[] = []): Fault[] {
  if (typeof judge === 'function') return []
  if (!isRecord(judge)) return [{ path: [...at], message: NOT_A_JUDGE }]
  return Object.entries(judge).flatMap(([key, said]) => {
    const message = faultOfRule(key, said)
    return message === null ? [] : [{ path: [...at, key], message }]
  })
}

function faultOfRule(key: string, said: unknown): string | null {
  if (!OUTCOME_KEY.test(key)) return NOT_A_KEY
  if (!key.startsWith('/')) return isOutcome(said) ? null : `must be one of ${OUTCOMES.join(', ')}`
  return isRecord(said) && Object.values(said).every(isOutcome) ? null : NOT_BY_VALUE
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Object.prototype.toString.call(value) === '[object Object]'

const isOutcome = (value: unknown) => OUTCOMES.some((outcome) => outcome === value)

const NOT_A_JUDGE = "must be outcomes by status, such as { '409': 'failed' }, or a function"
const NOT_A_KEY =
  "must be a status such as '409', a range such as '5xx' or a JSON pointer such as '/error/code'"
const NOT_BY_VALUE = `must say which value has which outcome (${OUTCOMES.join(', ')}), such as { DECLINED: 'failed' }`

/**
 * Returns the JSON value that is compared instead of the request's query, headers and body. It may
 * read the body, and be async. If it throws or returns anything else, the request is rejected with 500
 * `gateway-misconfigured`, and nothing is claimed.
 */
export interface FingerprintFunction {
  (c: Context): unknown
}

const QuerySchema = z.union(
  [z.boolean(), z.strictObject({ ignore: z.array(notEmpty) })],
  "must be true, false or { ignore: ['utm_source'] }, with names of parameters",
)

const FingerprintRulesSchema = z
  .strictObject({
    /** JSON pointers to what does not count: trace ids, times of sending; `*` is every member or item. */
    ignore: z._default(z.array(pointer), []),
    /** JSON pointers to RFC 3339 date-times, which are compared as instants. */
    dates: z._default(z.array(pointer), []),
    /** Header fields that count. */
    headers: z._default(z.array(headerName), []),
    /** `false` leaves the query out, `{ ignore }` the parameters of these names. */
    query: z._default(QuerySchema, true),
  })
  .check(({ value, issues }) => {
    for (const { list, index, fault } of findPointerFaults(value.ignore, value.dates)) {
      issues.push({ code: 'custom', input: value, path: [list, index], message: fault })
    }
  })

type FingerprintOption = false | FingerprintFunction | z.input<typeof FingerprintRulesSchema>

/** Not a union: that would not say which field of the rules is wrong. */
const FingerprintSchema = z.pipe(
  z.custom<FingerprintOption>(),
  z.transform((option, { issues }): false | FingerprintFunction | FingerprintRules => {
    if (option === false || typeof option === 'function') return option
    const rules = FingerprintRulesSchema.safeParse(option)
    if (rules.success) return rules.data
    const isRules = typeof option === 'object' && option !== null && !Array.isArray(option)
    const faults = isRules ? rules.error.issues : [{ path: [], message: NO_FINGERPRINT }]
    for (const { path, message } of faults) {
      issues.push({ code: 'custom', input: option, path: [...path], message })
    }
    return z.NEVER
  }),
)

const NO_FINGERPRINT =
  'must be false, a function of the context or { ignore, dates, headers, query }'

const LimitsSchema = z.strictObject({
  /** Largest request body in bytes; above it 413. */
  request: z._default(wholeNumber(0, 25 * MIB), MIB),
  /** Largest response body that is kept, in bytes; of a larger one only status and headers are. */
  response: z._default(wholeNumber(0, 100 * MIB), DEFAULT_RESPONSE_BYTES),
  /**
   * Whether new operations are counted per tenant, and per address of who is not verified: by the
   * binding of this name, or by `RATE_LIMITER`.
   */
  rate: z._default(
    z.union([z.boolean(), notEmpty], 'must be true, false or the name of a rate-limiting binding'),
    false,
  ),
})

const SnapshotSchema = z.strictObject({
  /** Whether `Set-Cookie` is replayed. */
  setCookie: z._default(z.boolean(), false),
  /** Further header fields that are not kept. */
  omit: z._default(z.array(headerName), []),
  /** Whether it is sealed with `HAPAX_SEAL_KEY` and the client's key. */
  seal: z._default(z.boolean(), false),
  /** Bytes from which on a body that streams is kept in the R2 bucket `SNAPSHOTS`; else all of it is in rows. */
  spill: z.optional(wholeNumber(MIB, 100 * MIB)),
})

interface ProbeOptions {
  readonly grace?: Duration
}

/** Asks the origin's status resource about an unknown outcome. Made by `probe`. */
export interface ProbePolicy {
  readonly kind: 'probe'
  readonly path: string
  readonly grace?: Duration
}

/**
 * Policy for an unknown outcome: ask the origin's status resource whether it was executed. 2xx:
 * its body is the result; 404 or 410: not executed, go again; anything else: asked again later.
 *
 * @param path Path there, in which `{key}` is the key that the origin received, `{tenant}` the
 *   tenant and `{id}` the operation's id.
 * @param options `grace`: how long after a call was given up a 404 or 410 does not count, since the
 *   call may still arrive; default: the route's `timeout`.
 * @example protect({ unknown: probe('/payments/by-key/{key}', { grace: '60s' }) })
 */
export function probe(path: string, options?: ProbeOptions): ProbePolicy
/**
 * Policy of `once` for an unknown outcome: the next call asks first, and runs the function only if
 * it was not executed.
 *
 * @param find Finds out whether an earlier call was executed, for example by asking the provider.
 * @param options `grace`: how long after the outcome became unknown `{ executed: false }` does not
 *   count, because the earlier call may still arrive. Default: `'30s'`.
 * @example once('refund', { unknown: probe((_, { key }) => findRefund(key)) }, issueRefund)
 */
export function probe<input, output>(
  find: ProbeFunction<input, output>,
  options?: ProbeOptions,
): FunctionProbe<input, output>
export function probe<input, output>(
  what: string | ProbeFunction<input, output>,
  options: ProbeOptions = {},
): ProbePolicy | FunctionProbe<input, output> {
  return typeof what === 'function'
    ? probeFunction(what, options)
    : { kind: 'probe', path: what, ...options }
}

const originPath = matching(
  /^\/(?:[^{}]|\{(?:key|tenant|id)\})*$/,
  "must be a path at the origin, beginning with '/', with no names but {key}, {tenant} and {id}",
)

const ProbeSchema = z.strictObject({
  kind: z.literal('probe'),
  path: originPath,
  /** How long after a call was given up a 404 or 410 does not count; else as long as `timeout`. */
  grace: z.optional(duration({ maxMs: DAY_MS })),
})

const BudgetSchema = z.strictObject({
  /** Retries per call, over time. */
  ratio: z._default(
    z.number().check(z.minimum(0), z.maximum(RETRY_LIMITS.ratio)),
    DEFAULT_BUDGET.ratio,
  ),
  /** Retries that are free. */
  floor: z._default(wholeNumber(1, RETRY_LIMITS.floor), DEFAULT_BUDGET.floor),
})

/** The fields of `RetryOptions`, which have the same limits everywhere, and defaults for their reader. */
export const retryFields = (defaults: Omit<RetryPolicy, 'on' | 'breaker'>) => ({
  /** Calls at the most, the first one counted. */
  attempts: z._default(wholeNumber(1, RETRY_LIMITS.attempts), defaults.attempts),
  /** Bound of the first delay, which doubles; the delay is uniform below it. */
  base: z._default(duration({ maxMs: RETRY_LIMITS.delayMs }), defaults.baseMs),
  /** Bound of every delay. */
  cap: z._default(duration({ maxMs: RETRY_LIMITS.delayMs }), defaults.capMs),
  /** After it no call begins. */
  deadline: z._default(duration({ maxMs: RETRY_LIMITS.deadlineMs }), defaults.deadlineMs),
  /** Share of the calls that may be retries. */
  budget: z._default(
    z.union(
      [z.literal(false), BudgetSchema],
      `must be false or { ratio: 0 to ${RETRY_LIMITS.ratio}, floor: 1 to ${RETRY_LIMITS.floor} }`,
    ),
    defaults.budget,
  ),
})

const BreakerSchema = z.strictObject({
  /** Failures in a row that open the circuit. */
  failures: z._default(wholeNumber(1, 1_000), 5),
  /** How long it stays open before one call tries the origin. */
  cooldown: z._default(duration({ minMs: 1, maxMs: 3_600_000 }), 10_000),
})

/** The fields of `retryFields` with the unit in their names. */
export function toRetryTimes(fields: {
  readonly attempts: number
  readonly base: number
  readonly cap: number
  readonly deadline: number
  readonly budget: RetryPolicy['budget']
}) {
  const { attempts, base, cap, deadline, budget } = fields
  return { attempts, baseMs: base, capMs: cap, deadlineMs: deadline, budget }
}

const RetrySchema = z.strictObject({
  ...retryFields({
    attempts: 1,
    baseMs: 200,
    capMs: 5_000,
    deadlineMs: 30_000,
    budget: DEFAULT_BUDGET,
  }),
  /** Outcomes that are tried again; else `not_executed`, and `unknown` where it is resent. */
  on: z.optional(z.array(z.enum(['not_executed', 'unknown']))),
  /** When the origin is not called for a while. */
  breaker: z._default(
    z.union(
      [z.literal(false), BreakerSchema],
      "must be false or { failures: 1 to 1000, cooldown: '1ms' to '1h' }",
    ),
    false,
  ),
})

const DestinationSchema = z.pipe(
  z.custom<Destination>(),
  z.transform((value: Destination, context): Destination => {
    const read = toDestination(value)
    if (read.ok) return read.value
    context.issues.push({ code: 'custom', message: read.error, input: value })
    return z.NEVER
  }),
)

const EventRuleSchema = z.strictObject({
  /** States that it tells of. */
  on: z.union([z.enum(EVENT_STATES), z.array(z.enum(EVENT_STATES)).check(z.minLength(1))]),
  /** The queue or the URL that gets them. */
  to: DestinationSchema,
  /** How a delivery that fails is tried again; after that it is a dead letter. */
  retry: z.prefault(
    z.strictObject({
      attempts: z._default(wholeNumber(1, 100), DELIVERY_RETRY.attempts),
      base: z._default(duration({ maxMs: 3_600_000 }), DELIVERY_RETRY.baseMs),
      cap: z._default(duration({ maxMs: DAY_MS }), DELIVERY_RETRY.capMs),
    }),
    {},
  ),
})

const FORWARD_KEY = 'derived'

/**
 * The policy of a protected route: every field with its default. The options, the parsed policy and
 * the check of `docs/policy.md` are derived from it.
 */
export const PolicySchema = z.strictObject({
  /** Name of the operation in records, metrics and contract; else method and route pattern. */
  operation: z.optional(z.string().check(z.minLength(1), z.maxLength(128))),
  /** `false`: a request without a key is forwarded unprotected and counted as such. */
  required: z._default(z.boolean(), true),
  /** Methods that are protected; else the route's, or on a route for all every one, safe ones only with a key. */
  methods: z.optional(z.array(method).check(z.minLength(1))),
  /** Where the key is read from; of a list, the first source that has one. */
  key: z._default(
    z.union([KeySourceSchema, z.array(KeySourceSchema).check(z.minLength(1))], MUST_BE_SOURCE),
    header('Idempotency-Key'),
  ),
  /** What a key that the client makes must be. */
  keyFormat: z._default(
    z.union(
      [z.enum(['any', 'uuid']), FormatSchema],
      "must be 'any', 'uuid' or { pattern: /…/, minLength: 1 to 255 }",
    ),
    'any',
  ),
  /** `'observe'`: records what would happen and changes nothing; `'off'`: as if it were not protected. */
  mode: z._default(z.enum(['enforce', 'observe', 'off']), 'enforce'),
  /** For whom a route that observes enforces already. */
  enforce: z.prefault(EnforceSchema, {}),
  /** Tells clients of requests that are let through today and will be refused. */
  sunset: z.optional(SunsetSchema),
  /** How long a settled operation is remembered, from settling. */
  retention: z._default(duration({ minMs: 1, maxMs: 365 * DAY_MS }), DAY_MS),
  /** How long after that a late retry is refused. */
  tombstone: z._default(duration({ maxMs: 365 * DAY_MS }), 0),
  /** How long an in-flight duplicate waits for the running call. */
  wait: z._default(duration({ maxMs: 60_000 }), 10_000),
  /** How long the origin may take to its headers, and then be silent between two chunks. */
  timeout: z._default(duration({ minMs: 1, maxMs: 600_000 }), 30_000),
  /** How long a claim made by a Worker stands without renewal. */
  lease: z._default(duration({ minMs: 100, maxMs: 600_000 }), 60_000),
  /** What of a request tells it from another. */
  fingerprint: z.prefault(FingerprintSchema, {}),
  /** What answers mean where the table does not fit: by status, range and value in the body, by a function, or a list of both. */
  outcomes: z._default(OutcomesSchema, {}),
  /** What is done about an unknown outcome: hold it, ask the origin, or send it again (to an idempotent origin). */
  unknown: z._default(
    z.union(
      [z.enum(['hold', 'resend']), ProbeSchema],
      "must be 'hold', 'resend' or probe(path, { grace: '0s' to '24h' }), the path beginning with '/' and holding no names but {key}, {tenant} and {id}",
    ),
    'hold',
  ),
  /** Which of the deployment's `origins` gets the requests of the route; else its own. */
  origin: z.optional(notEmpty),
  /** How often the gateway itself calls the origin for one request. */
  retry: z.prefault(RetrySchema, {}),
  /** Whether the request is stored with the claim, so that its recovery needs no client. */
  durable: z._default(z.boolean(), false),
  /** `'open'`: where the store of operations fails, the request is forwarded without protection. */
  onStoreError: z._default(z.enum(['closed', 'open']), 'closed'),
  /** Sizes of bodies, and whether new operations are counted. */
  limits: z.prefault(LimitsSchema, {}),
  /** Path at the origin that is asked with the caller's credentials before a replay; 2xx lets it pass. */
  reauthorize: z.optional(originPath),
  /** What is kept of a response, and how. */
  snapshot: z.prefault(SnapshotSchema, {}),
  /** Whose conventions errors follow: ours, the IETF draft's or Stripe's. */
  preset: z._default(z.enum(PRESETS), 'default'),
  /** Status of a mismatch; else as the preset has it. */
  mismatchStatus: z.optional(z.literal([409, 422, 400])),
  /** What the origin gets as `Idempotency-Key`. */
  forwardKey: z._default(z.literal(['derived', 'client', false]), FORWARD_KEY),
  /** Events that the operation leaves when it comes to a state. */
  events: z._default(z.array(EventRuleSchema).check(z.maxLength(10)), []),
})

function isBatchAmongOthers(key: PolicyOptions['key']): boolean {
  return Array.isArray(key) && key.length > 1 && key.some((source) => source?.in === 'batch')
}

/** Faults that involve several fields. Checked even if fields are wrong, so that one start finds all. */
function crossFaults(options: PolicyOptions): string[] {
  const { unknown, retry, forwardKey = FORWARD_KEY, durable, mode, enforce, key } = options
  const isProbed = typeof unknown === 'object' && unknown.path.includes('{key}')
  const isRetried = Array.isArray(retry?.on) && retry.on.includes('unknown')
  const rules: readonly (readonly [isBroken: boolean, fault: string])[] = [
    [isBatchAmongOthers(key), 'key: batch() must be the only source of its route'],
    [
      isRetried && unknown !== 'resend',
      "retry.on: 'unknown' is only tried again where the route says unknown: 'resend'",
    ],
    [
      isProbed && forwardKey !== 'derived',
      "unknown: {key} in the path needs forwardKey: 'derived'; the client's key is not stored",
    ],
    [
      durable === true && forwardKey === 'client',
      "durable: needs forwardKey: 'derived' or false; the client's own key is not stored",
    ],
    [
      enforce !== undefined && mode !== 'observe',
      "enforce: says for whom a route enforces that has mode: 'observe'",
    ],
  ]
  return rules.flatMap(([isBroken, fault]) => (isBroken ? [fault] : []))
}

/** A route's policy as a deployer writes it. Every field is optional. */
export type PolicyOptions = z.input<typeof PolicySchema>

type ParsedPolicy = z.output<typeof PolicySchema>

/** A policy with every default filled in; times are milliseconds, sizes are bytes. */
export type Policy = Readonly<
  Omit<ParsedPolicy, 'retry' | 'key' | 'keyFormat' | 'mismatchStatus' | 'events' | 'unknown'>
> & {
  readonly retry: RetryPolicy
  readonly unknown: 'hold' | 'resend' | (z.output<typeof ProbeSchema> & { readonly grace: number })
  readonly key: readonly KeySource[]
  readonly keyFormat: KeyFormat
  readonly mismatchStatus: number
  readonly events: readonly EventRule[]
}

/**
 * Reads a route's policy.
 *
 * @returns The policy, or a line for each wrong field: where it is and what it must be.
 */
export function parsePolicy(options: PolicyOptions): Result<Policy, readonly string[]> {
  const parsed = PolicySchema.safeParse(options)
  const crossed = isPlain(options) ? crossFaults(options) : []
  const faults = [...(parsed.error?.issues ?? []).map(toLine), ...crossed]
  if (!parsed.success || faults.length > 0) return err(faults)
  return ok(toPolicy(parsed.data))
}

function toPolicy(parsed: ParsedPolicy): Policy {
  const key = [parsed.key].flat()
  const { fingerprint, preset } = parsed
  return {
    ...parsed,
    key,
    keyFormat: toKeyFormat(parsed.keyFormat),
    fingerprint: hasMcp(key) ? toMcpFingerprint(fingerprint) : fingerprint,
    mismatchStatus: parsed.mismatchStatus ?? mismatchStatusOf(preset),
    retry: toRetryPolicy(parsed),
    unknown: toUnknownPolicy(parsed),
    events: parsed.events.map(({ on, to, retry: { attempts, base, cap } }) => ({
      on: [on].flat(),
      to,
      retry: { attempts, baseMs: base, capMs: cap },
    })),
  }
}

function toMcpFingerprint(fingerprint: Policy['fingerprint']): Policy['fingerprint'] {
  if (fingerprint === false || typeof fingerprint === 'function') return fingerprint
  return { ...fingerprint, ignore: [...fingerprint.ignore, ...MCP_IGNORED] }
}

function toUnknownPolicy({ unknown, timeout }: ParsedPolicy): Policy['unknown'] {
  return typeof unknown === 'object' ? { ...unknown, grace: unknown.grace ?? timeout } : unknown
}

function toKeyFormat(format: ParsedPolicy['keyFormat']): KeyFormat {
  if (format === 'any') return { name: 'any', ...z.parse(FormatSchema, {}) }
  if (format === 'uuid') return { name: 'uuid', ...z.parse(FormatSchema, { pattern: UUID }) }
  const { source, flags } = format.pattern
  const isAny = source === '^' && flags === ''
  return { name: isAny ? 'any' : String(format.pattern), ...format }
}

/** Whether the options can be checked across fields. */
function isPlain(options: PolicyOptions): boolean {
  const { unknown } = Object(options) as PolicyOptions
  return options !== null && (typeof unknown !== 'object' || typeof unknown?.path === 'string')
}

/** Writes a fault of a policy as one line. */
export const toLine = ({ path, message }: Fault) => `${path.join('.') || 'policy'}: ${message}`

/** How long a request is repeated at the most: its object holds it in memory, and its client has long gone. */
const LONGEST_RETRY_MS = 600_000

function toRetryPolicy({ retry, unknown }: ParsedPolicy): RetryPolicy {
  const { breaker, deadline } = retry
  return {
    ...toRetryTimes({ ...retry, deadline: Math.min(deadline, LONGEST_RETRY_MS) }),
    on: retry.on ?? (unknown === 'resend' ? ['not_executed', 'unknown'] : ['not_executed']),
    breaker: breaker !== false && { failures: breaker.failures, cooldownMs: breaker.cooldown },
  }
}
