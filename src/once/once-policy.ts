import { parsePolicy, type Policy, type PolicyOptions } from '../config/policy.ts'
import { parseDuration } from '../core/duration.ts'
import { isErrorOutcome } from '../core/function/error-outcome.ts'
import type { OncePolicy } from '../core/function/once-policy.ts'
import { header, type KeySource } from '../core/request/key-source.ts'
import { toRetryPolicy } from '../core/retry/retry-options.ts'

/** The policy of a function in a Worker. Every field is optional. */
export interface WorkerOncePolicy<input, stored, output = stored>
  extends OncePolicy<input, stored, output>, Pick<PolicyOptions, 'durable' | 'events' | 'limits'> {
  /** `seal: true`: the result is encrypted with `HAPAX_SEAL_KEY`. */
  readonly snapshot?: Pick<NonNullable<PolicyOptions['snapshot']>, 'seal' | 'spill'>
}

// oxlint-disable-next-line typescript/no-explicit-any -- a policy of any function
type AnyPolicy = WorkerOncePolicy<any, any, any>

/** Fields that are those of a route's policy. */
const SHARED = [
  'retention',
  'tombstone',
  'wait',
  'lease',
  'fingerprint',
  'durable',
  'events',
  'limits',
  'snapshot',
] as const satisfies readonly (keyof PolicyOptions & keyof AnyPolicy)[]

const OWN: ReadonlySet<string> = new Set<string>([
  ...SHARED,
  'key',
  'tenant',
  'unknown',
  'outcomes',
  'result',
  'retry',
])

/** The longest time that an object runs a function. */
const TIMEOUT = '10m'

/** Writes the policy of a function as that of its route. */
export function toRouteOptions(name: string, policy: AnyPolicy): PolicyOptions {
  const shared = SHARED.flatMap((field) => {
    const value = policy[field]
    return value === undefined ? [] : [[field, value] as const]
  })
  return {
    ...(Object.fromEntries(shared) as PolicyOptions),
    operation: name,
    key: toSource(policy.key),
    timeout: TIMEOUT,
    // A probe is asked by the function itself, when it runs again.
    unknown: typeof policy.unknown === 'object' ? 'resend' : (policy.unknown ?? 'hold'),
  }
}

/** Where the route of a function reads the key: its callers send one that they have found themselves. */
function toSource(key: AnyPolicy['key']): KeySource {
  const isSource = typeof key === 'object'
  return isSource ? { ...key, scope: 'operation' } : header('Idempotency-Key', OF_OPERATION)
}

const OF_OPERATION = { scope: 'operation' } as const

/**
 * Reads the policy of a function.
 *
 * @throws {Error} If it is invalid. The message names all fields.
 */
export function readOncePolicy(name: string, policy: AnyPolicy): Policy {
  const read = parsePolicy(toRouteOptions(name, policy))
  const faults = [...faultsOfName(name), ...faultsOf(policy), ...(read.ok ? [] : read.error)]
  if (!read.ok || faults.length > 0) {
    throw new Error([`The policy of once('${name}') is not valid:`, ...faults].join('\n  '))
  }
  return read.value
}

/** The name is a part of the URL of the hidden route. */
function faultsOfName(name: unknown): string[] {
  return typeof name === 'string' && name.isWellFormed() ? [] : [MUST_BE.name]
}

function faultsOf(policy: AnyPolicy): string[] {
  const { key, tenant, unknown, outcomes, result, retry } = policy
  const isSource = typeof key === 'object' && ['business', 'body'].includes(key?.in)
  const isProbe = typeof unknown !== 'object' || isFunctionProbe(unknown ?? {})
  const rules = [
    { holds: isSource || isOptional(key, 'function'), fault: MUST_BE.key },
    { holds: tenant !== '' && isOptional(tenant, 'string', 'function'), fault: MUST_BE.tenant },
    { holds: isProbe, fault: MUST_BE.unknown },
    { holds: areOutcomes(outcomes), fault: MUST_BE.outcomes },
    { holds: isSchema(result), fault: MUST_BE.result },
  ]
  const strange = Object.keys(policy).filter((field) => !OWN.has(field))
  return [
    ...strange.map((field) => `${field}: is no option here`),
    ...rules.filter(({ holds }) => !holds).map(({ fault }) => fault),
    ...faultsOfRetry(retry),
  ]
}

const isOptional = (value: unknown, ...types: readonly string[]) =>
  value === undefined || types.includes(typeof value)

const isSchema = (result: unknown) =>
  isOptional(result, 'function') ||
  (typeof result === 'object' && result !== null && '~standard' in result)

function areOutcomes(outcomes: unknown): boolean {
  if (typeof outcomes === 'function') return true
  const isMap = typeof outcomes === 'object' && outcomes !== null && !Array.isArray(outcomes)
  return outcomes === undefined || (isMap && Object.values(outcomes).every(isErrorOutcome))
}

function isFunctionProbe({ find, grace }: { find?: unknown; grace?: unknown }): boolean {
  return typeof find === 'function' && (grace === undefined || parseDuration(grace) !== null)
}

function faultsOfRetry(retry: AnyPolicy['retry']): string[] {
  try {
    toRetryPolicy(retry)
    return []
  } catch (error) {
    return [error instanceof TypeError ? error.message : String(error)]
  }
}

const MUST_BE = {
  name: 'name: must be a text in Unicode, from 1 to 128 characters',
  key: 'key: must be business(...pointers), body(pointer) or a function of the input',
  tenant: 'tenant: must be a text or a function of the input',
  unknown: "unknown: must be 'hold', 'resend' or probe(function, { grace: '30s' })",
  outcomes:
    "outcomes: must be 'failed', 'not_executed' or 'unknown' by name or code, such as { CardDeclined: 'failed' }, or a function",
  result: 'result: must be a Standard Schema or a function',
} as const
