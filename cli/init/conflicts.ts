import { Failure } from '../failure.ts'
import { BINDINGS, DATASET } from '../wrangler/bindings.ts'
import { migratedClasses, type WranglerEnvironment } from '../wrangler/config.ts'
import type { Scope } from './scope.ts'

/**
 * Refuses an environment that uses the names of Hapax for something else.
 *
 * @throws Failure
 */
export function refuseConflicts({ suffix, own, resolved }: Scope): void {
  const taken = [...BINDINGS.map(({ name }) => name), DATASET.binding].find(
    (name) => bindingsOf(own).has(name) && !isOurs(own, name),
  )
  if (taken !== undefined) {
    throw new Failure(`The binding ${taken}${suffix} is already there, for something else.`)
  }
  const other = BINDINGS.find(({ class_name }) => !isFree(resolved, class_name))
  if (other === undefined) return
  throw new Failure(
    `The class ${other.class_name}${suffix} is already there, but not as a new class with SQLite storage.`,
  )
}

function isOurs(own: WranglerEnvironment, name: string): boolean {
  if (name === DATASET.binding) {
    return own.analytics_engine_datasets?.some(({ binding }) => binding === name) ?? false
  }
  const binding = own.durable_objects?.bindings?.find((each) => each.name === name)
  const wanted = BINDINGS.find((each) => each.name === name)
  return binding?.class_name === wanted?.class_name && binding?.script_name === undefined
}

/** The objects need SQLite storage, and a class keeps its storage for ever. */
function isFree({ migrations = [], exports = {} }: WranglerEnvironment, name: string): boolean {
  const migrated = migratedClasses(migrations).get(name) ?? 'sqlite'
  if (migrated !== 'sqlite') return false
  const declared = Object.hasOwn(exports, name) ? exports[name] : undefined
  if (declared === undefined) return true
  const { type, storage, state = 'created' } = declared
  return type === 'durable-object' && storage === 'sqlite' && state === 'created'
}

/** Returns the names of all bindings and variables of an environment. */
function bindingsOf(own: WranglerEnvironment): Set<string> {
  const { durable_objects, ...others } = own
  const lists = Object.values(others).flatMap((value) => {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? [value, ...Object.values(value)] : [value]
  })
  const named = lists.flat().flatMap((value) => {
    const isObject = typeof value === 'object' && value !== null
    const fields = isObject ? (value as Record<string, unknown>) : {}
    const name = fields['binding'] ?? fields['name']
    return typeof name === 'string' ? [name] : []
  })
  const objects = durable_objects?.bindings?.map(({ name }) => name) ?? []
  return new Set([...named, ...objects, ...Object.keys(own.vars ?? {})])
}
