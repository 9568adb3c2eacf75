import * as z from 'zod/mini'

import { parsePolicy, type Policy, type PolicyOptions, toLine } from '../config/policy.ts'
import { isOperationId } from '../core/operation/operation.ts'
import { body, business, header, type KeySource } from '../core/request/key-source.ts'
import { UUID } from '../core/request/key.ts'
import { err, ok, type Result } from '../core/result.ts'

/** A half of a surrogate pair would be any other such half in UTF-8, and so in a digest. */
const text = z.string().check(
  z.minLength(1),
  z.refine((value) => value.isWellFormed(), 'must be Unicode'),
)

/** A tenant stands in records, log lines and data points. */
const tenant = z.optional(text.check(z.maxLength(256)))

/** Each of them is looked for in the whole input, and compared with every other one. */
const MAX_POINTERS = 32

const POINTER = /^(?:\/(?:[^~/]|~[01])*)+$/
const pointer = z.string().check(z.regex(POINTER))

const KeySchema = z.union(
  [
    text,
    z.strictObject({
      business: z.array(pointer).check(z.minLength(1), z.maxLength(MAX_POINTERS)),
    }),
    z.strictObject({ body: pointer }),
  ],
  `must be a text of Unicode, { "business": ["/order"] } or { "body": "/id" }, with 1 to ${MAX_POINTERS} JSON pointers into the input`,
)

const isShort = (list: unknown) => !Array.isArray(list) || list.length <= MAX_POINTERS
const pointers = z.optional(
  z.unknown().check(z.refine(isShort, `must be at most ${MAX_POINTERS} JSON pointers`)),
)

const leftOut = (because: string) => z.optional(z.never(`must be left out: ${because}`))
const OF_PROCESS = 'only the process that runs the function needs it'

/** The fields that a process elsewhere may set; `parsePolicy` reads their values. */
const OptionsSchema = z.strictObject({
  retention: z.optional(z.unknown()),
  tombstone: z.optional(z.unknown()),
  wait: z.optional(z.unknown()),
  lease: z.optional(z.unknown()),
  fingerprint: z.optional(z.strictObject({ ignore: pointers, dates: pointers })),
  unknown: z.optional(z.enum(['hold', 'resend', 'probe'])),
  durable: leftOut('the deployment cannot run a function that is elsewhere'),
  events: leftOut('the operation of a remote claim sends no events'),
  snapshot: leftOut('the result of a remote claim is stored as it is'),
  limits: leftOut('a remote claim has fixed limits'),
  outcomes: leftOut(OF_PROCESS),
  result: leftOut(OF_PROCESS),
  retry: leftOut(OF_PROCESS),
})

const ClaimSchema = z.strictObject({
  operation: text.check(z.maxLength(128)),
  tenant,
  key: z.optional(KeySchema),
  outer: z.optional(z.string().check(z.refine(isOperationId, 'must be the id of an operation'))),
  claim: z.optional(z.string().check(z.regex(UUID, 'must be a random UUID'))),
  policy: z.prefault(OptionsSchema, {}),
  // Its value was cut out before.
  input: z.null('must be a JSON value'),
})

/** A request to claim an operation. */
export interface ClaimOrder {
  readonly operation: string
  readonly tenant: string | undefined
  /** `null`: the policy reads the key from the input; `undefined`: the whole input is the key. */
  readonly key: string | null | undefined
  /** Id of the operation within which this one is executed; empty: none. */
  readonly outer: string
  /** The same in a repeat of the request; `undefined`: there is no repeat. */
  readonly nonce: string | undefined
  readonly policy: Policy
  /** Whether the process finds out about an unknown outcome before it executes again. */
  readonly asksFirst: boolean
}

/** Reads a request to claim an operation. @returns An error with a line for each wrong field. */
export function readClaimOrder(document: unknown): Result<ClaimOrder, readonly string[]> {
  const read = ClaimSchema.safeParse(document)
  if (!read.success) return err([...read.error.issues.map(toLine), ...faultsOfPolicy(document)])
  const { operation, key, outer = '', claim: nonce, policy: options } = read.data
  const policy = parsePolicy(toPolicyOptions(operation, key, options))
  if (!policy.ok) return err(policy.error.map(toPolicyLine))
  return ok({
    operation,
    tenant: read.data.tenant,
    key: typeof key === 'object' ? null : key,
    outer,
    nonce: nonce?.toLowerCase(),
    policy: policy.value,
    asksFirst: options.unknown === 'probe',
  })
}

type Key = z.output<typeof KeySchema>
type Options = z.output<typeof OptionsSchema>

/** Writes the policy as that of the route of the function, which has this name in a Worker. */
function toPolicyOptions(operation: string, key: Key | undefined, options: Options): PolicyOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const unknown = options.unknown === 'probe' ? 'resend' : (options.unknown ?? 'hold')
  return { ...Object.fromEntries(given), operation, key: toSource(key), unknown }
}

const OF_OPERATION = { scope: 'operation' } as const

function toSource(key: Key | undefined): KeySource {
  if (typeof key !== 'object') return header('Idempotency-Key', OF_OPERATION)
  return 'body' in key ? body(key.body, OF_OPERATION) : business(...key.business)
}

/** What is wrong with the values of a policy, in a document with other faults. */
function faultsOfPolicy(document: unknown): readonly string[] {
  const { policy }: { policy?: Partial<Options> } = Object(document)
  const { retention, tombstone, wait, lease, fingerprint } = Object(policy) as Partial<Options>
  const { ignore, dates }: Partial<Record<string, unknown>> = Object(fingerprint)
  if (![ignore, dates].every(isShort)) return []
  const options = { retention, tombstone, wait, lease, fingerprint }
  const read = parsePolicy(toPolicyOptions('a claim', undefined, options))
  return read.ok ? [] : read.error.map(toPolicyLine)
}

const toPolicyLine = (line: string) => `policy.${line}`

const HolderSchema = z.strictObject({ claim: z.string(), tenant })

/** The holder of a claim, as its requests name it. */
export type ClaimHolder = z.output<typeof HolderSchema>

/** Reads a request to renew a lease. @returns As `readClaimOrder`. */
export function readRenewal(document: unknown): Result<ClaimHolder, readonly string[]> {
  const read = HolderSchema.safeParse(document)
  return read.success ? ok(read.data) : err(read.error.issues.map(toLine))
}

const SettleSchema = z.strictObject({
  ...HolderSchema.shape,
  outcome: z.enum(['succeeded', 'failed', 'not_executed', 'unknown']),
  // Its value was cut out before.
  result: z.optional(z.null()),
  omitted: z.optional(z.boolean()),
  error: z.optional(
    z.strictObject({
      name: z.string(),
      message: z.string(),
      code: z.optional(z.union([z.string(), z.number()], 'must be a text or a number')),
    }),
  ),
})

/** A request to end a claim. */
export type SettleOrder = z.output<typeof SettleSchema>

/** Reads a request to end a claim. @returns As `readClaimOrder`. */
export function readSettle(document: unknown): Result<SettleOrder, readonly string[]> {
  const read = SettleSchema.safeParse(document)
  if (!read.success) return err(read.error.issues.map(toLine))
  const faults = faultsOfSettle(read.data)
  return faults.length === 0 ? ok(read.data) : err(faults)
}

function faultsOfSettle({ outcome, result, omitted, error }: SettleOrder): string[] {
  const isResult = result !== undefined || omitted !== undefined
  const rules = [
    { holds: !isResult || outcome === 'succeeded', fault: 'result: only what succeeded has one' },
    { holds: (error !== undefined) === (outcome === 'failed'), fault: FAILED_ALONE },
  ]
  return rules.flatMap(({ holds, fault }) => (holds ? [] : [fault]))
}

const FAILED_ALONE = 'error: what failed must have one, and nothing else'
