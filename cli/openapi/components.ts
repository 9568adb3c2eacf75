import { isDeepStrictEqual } from 'node:util'

import { GENERATED, type OpenApiFragment } from '../../src/operators/protected-openapi.ts'
import { isObject, type JsonObject, resolve } from './json.ts'

/** Takes over a component of the fragment, with all that it refers to, and says where it is now. */
export type Place = (ref: string) => string

const [MARK] = Object.keys(GENERATED) as [keyof typeof GENERATED]

/** Whether a value is a reference to a component that an earlier merge has written. */
export function isGenerated(document: JsonObject, value: unknown): boolean {
  return isObject(value) && '$ref' in value && isMarked(resolve(document, value))
}

/** A component as it stands in a place of its own. */
export function unmarked(component: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(component).filter(([key]) => key !== MARK))
}

function isMarked(component: unknown): boolean {
  return isObject(component) && component[MARK] === GENERATED[MARK]
}

/**
 * Makes a function that takes components over into a document, which it changes. A name that
 * belongs to something else gets a number.
 */
export function createPlacer(document: JsonObject, fragment: OpenApiFragment): Place {
  const placed = new Map<string, string>()
  const taken = new Set<string>()
  return function place(ref) {
    const known = placed.get(ref)
    if (known !== undefined) return known
    const [, , section = '', name = ''] = ref.split('/')
    const content = relink(fragment.components[section]?.[name], place) as JsonObject
    const components = (document['components'] ??= {}) as JsonObject
    const siblings = (components[section] ??= {}) as JsonObject
    const key = freeName(name, (candidate) => {
      const there = siblings[candidate]
      if (taken.has(`${section}/${candidate}`)) return false
      return there === undefined || isMarked(there) || isDeepStrictEqual(there, unmarked(content))
    })
    const there = siblings[key]
    if (there === undefined || isMarked(there)) siblings[key] = content
    taken.add(`${section}/${key}`)
    const target = `#/components/${section}/${key}`
    placed.set(ref, target)
    return target
  }
}

function freeName(name: string, isFree: (candidate: string) => boolean): string {
  if (isFree(name)) return name
  const stem = name.replace(/_\d+$/, '')
  for (let n = 2; ; n++) {
    const candidate = `${stem}_${n}`
    if (isFree(candidate)) return candidate
  }
}

/** A copy in which every reference is replaced. */
function relink(value: unknown, place: Place): unknown {
  if (Array.isArray(value)) return value.map((item) => relink(item, place))
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === '$ref' && typeof item === 'string' ? place(item) : relink(item, place),
    ]),
  )
}
