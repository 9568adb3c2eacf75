import { ConfigurationFault } from './configuration-fault.ts'
import { hasMetrics } from './deployed-metrics.ts'
import type { HapaxEnv } from './env.ts'

/** A binding that every deployment needs. */
export type RequiredBinding = 'OPERATIONS' | 'DIRECTORY' | 'METRICS'

/** What each one is bound to, and how such a binding is recognized. */
const KINDS = {
  OPERATIONS: { to: 'the Durable Object class IdempotencyObject', isOf: isNamespace },
  DIRECTORY: { to: 'the Durable Object class DirectoryObject', isOf: isNamespace },
  METRICS: { to: 'an Analytics Engine dataset', isOf: hasWriter },
} as const

/** A service binding has every method, because whatever is read of it can be called by RPC. */
function isNamespace(env: object, name: string): boolean {
  const binding: unknown = Reflect.get(env, name)
  return isBound(env, name, 'getByName') && !/Fetcher/.test(Object.prototype.toString.call(binding))
}

function hasWriter(env: object, name: string): boolean {
  return isBound(env, name, 'writeDataPoint')
}

/** Whether there is a binding that has this method. */
export function isBound(env: object, name: string, method: string): boolean {
  const binding: unknown = Reflect.get(env, name)
  if (typeof binding !== 'object' || binding === null) return false
  return typeof Reflect.get(binding, method) === 'function'
}

const complete = new WeakSet<object>()

/**
 * Makes sure that a deployment has the bindings without which nothing works.
 *
 * @throws {ConfigurationFault} Naming all that are missing or bound to something else.
 */
export function requireBindings(env: HapaxEnv): void {
  if (complete.has(env)) return
  requireAll(
    env,
    hasMetrics() ? ['OPERATIONS', 'DIRECTORY', 'METRICS'] : ['OPERATIONS', 'DIRECTORY'],
  )
  complete.add(env)
}

/** Finds one of them. @throws {ConfigurationFault} If it is missing, or bound to something else. */
export function requireBinding<name extends RequiredBinding>(
  env: Pick<HapaxEnv, name>,
  name: name,
): HapaxEnv[name] {
  if (!complete.has(env)) requireAll(env, [name])
  return env[name]
}

function requireAll(env: object, names: readonly RequiredBinding[]): void {
  const lacking = names.filter((name) => !KINDS[name].isOf(env, name))
  if (lacking.length === 0) return
  const listed = lacking.map((name) => `${name} to ${KINDS[name].to}`).join(', and no binding ')
  const orElse = lacking.includes('METRICS') ? ', or set metrics: false to do without metrics' : ''
  throw new ConfigurationFault(
    `The Worker has no binding ${listed}. Add what is missing to its Wrangler configuration, as "npx hapax init" does${orElse}.`,
  )
}
