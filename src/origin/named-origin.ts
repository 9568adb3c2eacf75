import { ConfigurationFault } from '../config/configuration-fault.ts'
import { deployedOrigins, noSuchOrigin } from '../config/deployed-origins.ts'
import { type HapaxEnv, textOf } from '../config/env.ts'
import { fillHeader } from '../config/fill-header.ts'
import { isOriginUrl, type Origin, ORIGIN_URL } from '../config/origins.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import { foldName } from '../core/wire/headers.ts'
import { BOUND_ORIGIN, type OriginTarget, toBase } from './target.ts'

/** Origins that were found, by the bindings that they were found in and by their names. */
const known = new WeakMap<HapaxEnv, Map<string, OriginTarget>>()

/**
 * Finds an origin by its name, once for the bindings of a deployment.
 *
 * @throws {ConfigurationFault} When it is unknown, or lacks its variable, binding or a secret.
 */
export function namedOrigin(env: HapaxEnv, name: string): OriginTarget {
  const targets = known.get(env) ?? new Map<string, OriginTarget>()
  known.set(env, targets)
  const target = targets.get(name) ?? toTarget(env, name)
  targets.set(name, target)
  return target
}

function toTarget(env: HapaxEnv, name: string): OriginTarget {
  const origin = deployedOrigins().get(name)
  if (origin === undefined)
    throw new ConfigurationFault(`The origin ${name} is missing: ${noSuchOrigin(name)}.`)
  const fields = fieldsOf(env, name, origin)
  const replaced = new Set([...fields.map(([field]) => field), ...origin.removed].map(foldName))
  const { base, send } = reach(env, name, origin)
  const pathOf = stripping(origin.strip)
  return {
    id: `origins.${name}`,
    fetch: replaced.size === 0 ? send : withHeaders(send, replaced, fields),
    isPlain: replaced.size === 0 && origin.place.kind !== 'service',
    pathOf,
    urlOf: (path) => base + path,
  }
}

function fieldsOf(env: HapaxEnv, name: string, { headers }: Origin): HeaderField[] {
  return Object.entries(headers).map(([field, value]) => {
    const filled = fillHeader(env, value)
    if (filled.ok) return [field, filled.value]
    throw new ConfigurationFault(`The origin ${name} needs its header ${field}: ${filled.error}.`)
  })
}

/** How requests get to an origin. */
interface Reach {
  readonly base: string
  readonly send: typeof fetch
}

function reach(env: HapaxEnv, name: string, { place }: Origin): Reach {
  if (place.kind === 'service') {
    const binding = Reflect.get(env, place.binding) as Fetcher | undefined
    if (typeof binding?.fetch === 'function') {
      return { base: BOUND_ORIGIN, send: binding.fetch.bind(binding) }
    }
    throw new ConfigurationFault(`The origin ${name} needs a service binding ${place.binding}.`)
  }
  const base = baseOf(env, place)
  if (base !== null) return { base, send: (input, init) => fetch(input, init) }
  const variable = place.kind === 'variable' ? place.name : ''
  throw new ConfigurationFault(
    `The origin ${name} needs a variable ${variable} with ${ORIGIN_URL}.`,
  )
}

/** @returns `null` if the variable does not have the URL of an origin. */
function baseOf(
  env: HapaxEnv,
  place: Exclude<Origin['place'], { kind: 'service' }>,
): string | null {
  const text = place.kind === 'url' ? place.url : (textOf(env, place.name) ?? '')
  if (!isOriginUrl(text)) return null
  return toBase(new URL(text))
}

/** Whether an origin has a base path. */
export function namedHasBasePath(env: HapaxEnv, { place }: Origin): boolean {
  if (place.kind === 'service') return false
  const base = baseOf(env, place)
  return base !== null && new URL(base).pathname !== '/'
}

/** Removes a prefix, whose slashes may be doubled: a request that is passed on has those of its client. */
function stripping(prefix: string | null): OriginTarget['pathOf'] {
  if (prefix === null) return (path) => path
  const segments = prefix
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('.', String.raw`\.`))
  const pattern = new RegExp(String.raw`^/+${segments.join('/+')}(?=[/?]|$)`)
  return (path) => {
    const rest = path.replace(pattern, '')
    return rest.startsWith('/') ? rest : `/${rest}`
  }
}

/**
 * Sends with the headers of an origin. They are set here, after everything else, so that they are in no
 * record, stored request or log, and every request has them.
 */
function withHeaders(
  send: typeof fetch,
  replaced: ReadonlySet<string>,
  fields: readonly HeaderField[],
): typeof fetch {
  return (input, init) => {
    const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : []))
    // A twin of a name is the same header for some origins.
    const names = [...headers.keys()].filter((name) => replaced.has(foldName(name)))
    for (const name of names) headers.delete(name)
    for (const [name, value] of fields) headers.set(name, value)
    return send(input, { ...init, headers })
  }
}
