import { isDeepStrictEqual } from 'node:util'

import { parameterNames } from '../../src/operators/path-template.ts'
import {
  GENERATED,
  type OpenApiFragment,
  type OpenApiOperation,
} from '../../src/operators/protected-openapi.ts'
import { copy, fill, isObject, type JsonObject, resolve } from './json.ts'
import { basesOf, findPath, pathBelow, pathsOf } from './paths.ts'

export interface MergeOptions {
  /** Path of the gateway under which the paths of the document are; else what its `servers` say. */
  readonly prefix?: string
  /** What becomes of operations that the document does not have. Default `report`. */
  readonly missing?: 'report' | 'add'
}

export interface Merged {
  readonly document: JsonObject
  /** What was left out and where document and contract differ: a sentence each. */
  readonly notes: readonly string[]
}

/** One run of `mergeOpenApi`; its document is the copy that is being changed. */
interface Merge {
  readonly document: JsonObject
  readonly options: MergeOptions
  readonly notes: string[]
  readonly merged: Set<unknown>
  /** Takes over a component of the fragment, with all that it refers to, and says where it is now. */
  readonly place: (ref: string) => string
}

/**
 * Merges the contract into an OpenAPI 3 document; what the document says itself is kept.
 *
 * Merging again changes nothing. After a change of the contract, what an earlier merge has written
 * is renewed: it is known by its mark.
 */
export function mergeOpenApi(
  given: JsonObject,
  fragment: OpenApiFragment,
  options: MergeOptions = {},
): Merged {
  const document = copy(given)
  const place = createPlacer(document, fragment)
  const merge: Merge = { document, options, notes: [], merged: new Set(), place }
  for (const { route } of fragment['x-idempotency-unmapped'] ?? []) {
    merge.notes.push(`${route}: OpenAPI has no words for such a path; left out.`)
  }
  for (const [path, item] of Object.entries(fragment.paths)) mergePath(merge, path, item)
  noteForsaken(merge)
  return { document, notes: merge.notes }
}

function mergePath(merge: Merge, wantedPath: string, wanted: OpenApiFragment['paths'][string]) {
  const { document, options, notes } = merge
  const known = findPath(document, wantedPath, options.prefix)
  const item = itemOf(document, known)
  if ('$ref' in item) {
    notes.push(`${known}: a $ref stands for the whole path; merge into what it refers to.`)
    return
  }
  const has = (method: string) => isObject(item[method])
  const path = known ?? pathBelow(wantedPath, basesOf(document, options.prefix))
  for (const [method, operation] of Object.entries(wanted)) {
    // Where the route takes every method, the API does not have to.
    if (!has(method) && methodsLike(wanted, operation).some(has)) continue
    const because = has(method) ? null : whyLeftOut(options, path)
    if (because !== null) {
      notes.push(`${method.toUpperCase()} ${wantedPath}: ${because}; left out.`)
    } else if (path !== null) mergeOperation(merge, { path, method }, operation)
  }
}

function itemOf(document: JsonObject, path: string | null): JsonObject {
  const item = path === null ? undefined : pathsOf(document)[path]
  return isObject(item) ? item : {}
}

function whyLeftOut({ missing, prefix }: MergeOptions, path: string | null): string | null {
  if (missing !== 'add') return 'not in the document'
  return path === null ? `not under ${prefix}` : null
}

/** The methods that a route for every method has in an item. */
function methodsLike(
  item: OpenApiFragment['paths'][string],
  operation: OpenApiOperation,
): string[] {
  const { route } = operation['x-idempotency']
  const isSibling = (method: string) => item[method]?.['x-idempotency'].route === route
  return route.startsWith('ALL ') ? Object.keys(item).filter(isSibling) : []
}

/** Gives an operation what it lacks; where the document does not have it, adds it. */
function mergeOperation(
  merge: Merge,
  { path, method }: { readonly path: string; readonly method: string },
  wanted: OpenApiOperation,
): void {
  const { document } = merge
  const paths = (document['paths'] ??= {}) as JsonObject
  const item = (paths[path] ??= {}) as JsonObject
  const isNew = !isObject(item[method])
  if (isNew) item[method] = newOperation(document, path, wanted)
  const operation = item[method] as JsonObject
  merge.merged.add(operation)
  const note = (text: string) => merge.notes.push(`${method.toUpperCase()} ${path}: ${text}`)
  if (wanted.description !== undefined) operation['description'] ??= wanted.description
  mergeParameters(merge, { item, operation, note }, wanted)
  mergeResponses(merge, operation, wanted)
  operation['x-idempotency'] = wanted['x-idempotency']
  // OpenAPI 3.0 has no operation without responses.
  if (isNew) operation['responses'] ??= { default: { description: 'What the API answers.' } }
}

/** An operation with the parameters of its path that the document does not declare for all methods. */
function newOperation(document: JsonObject, path: string, wanted: OpenApiOperation): JsonObject {
  const item = pathsOf(document)[path] as JsonObject
  const names = parameterNames(path)
  const parameters = wanted.parameters
    .filter((one) => 'in' in one)
    .map((one, i) => ({ ...one, name: names[i] ?? one.name }))
    .filter((one) => !listOf(item['parameters']).some(isSameParameter(document, one)))
  return parameters.length > 0 ? { parameters } : {}
}

function mergeResponses(
  { document, place }: Merge,
  operation: JsonObject,
  wanted: OpenApiOperation,
) {
  const responses = Object.fromEntries(
    Object.entries(operation['responses'] ?? {}).filter(([, one]) => !isGenerated(document, one)),
  )
  for (const [status, { $ref }] of Object.entries(wanted.responses ?? {})) {
    responses[status] = complete(document, responses[status], place($ref))
  }
  if (Object.keys(responses).length > 0) operation['responses'] = responses
}

interface Target {
  readonly item: JsonObject
  readonly operation: JsonObject
  readonly note: (text: string) => void
}

function mergeParameters({ document, place }: Merge, target: Target, wanted: OpenApiOperation) {
  const { operation, item, note } = target
  // What an earlier merge has written is written anew.
  const own = listOf(operation['parameters']).filter((one) => !isGenerated(document, one))
  const shared = listOf(item['parameters'])
  for (const reference of wanted.parameters) {
    if (!('$ref' in reference)) continue
    const ref = place(reference.$ref)
    const parameter = resolve(document, { $ref: ref }) as JsonObject
    const isSame = isSameParameter(document, parameter)
    const at = own.findIndex(isSame)
    const there = own[at] ?? shared.find(isSame)
    noteDifferences(resolve(document, there), parameter, note)
    const completed = complete(document, there, ref)
    if (completed !== there) own.splice(at < 0 ? own.length : at, 1, completed)
  }
  if ([...own, ...shared].some((one) => resolve(document, one) === null)) {
    note('refers to parameters in another file, which were not looked at.')
  }
  if (own.length > 0 || 'parameters' in operation) operation['parameters'] = own
}

/** What the document says, and what it lacks of a component; what others share stays as it is. */
function complete(document: JsonObject, given: unknown, $ref: string): unknown {
  if (given === undefined) return { $ref }
  const there = resolve(document, given)
  // It is in another file.
  if (there === null) return given
  const { schema, ...component } = unmarked(resolve(document, { $ref }) ?? {})
  // A parameter has a schema or a content, not both.
  const wanted = schema === undefined || there['content'] ? component : { ...component, schema }
  const filled = fill(there, wanted)
  return isDeepStrictEqual(filled, there) ? given : filled
}

function isSameParameter(document: JsonObject, { name, in: place }: JsonObject) {
  return (one: unknown) => {
    const other = resolve(document, one)
    // Names of header fields are the same in any case.
    const isNamed = String(other?.['name']).toLowerCase() === String(name).toLowerCase()
    return isNamed && other?.['in'] === place
  }
}

const factsOf = ({ required, schema }: JsonObject): JsonObject => ({
  ...(isObject(schema) && schema),
  required,
})

function noteDifferences(given: JsonObject | null, wanted: JsonObject, note: Target['note']): void {
  const [theirs, ours] = [factsOf(given ?? {}), factsOf({ required: false, ...wanted })]
  for (const fact of ['required', 'type', 'format', 'pattern', 'minLength', 'maxLength']) {
    const [there, here] = [theirs[fact], ours[fact]]
    if (there === undefined || here === undefined || there === here) continue
    note(
      `${String(wanted['name'])}: ${fact} is ${JSON.stringify(there)} in the document and ${JSON.stringify(here)} in the contract; left as it is.`,
    )
  }
}

/** Tells of what an earlier merge has written and the contract does not speak of any more. */
function noteForsaken({ document, merged, notes }: Merge): void {
  for (const [path, item] of Object.entries(pathsOf(document))) {
    for (const [method, operation] of Object.entries(isObject(item) ? item : {})) {
      if (!isObject(operation) || !operation['x-idempotency'] || merged.has(operation)) continue
      notes.push(
        `${method.toUpperCase()} ${path}: bears x-idempotency, and the contract does not name it (any more).`,
      )
    }
  }
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

const MARK = 'x-generated-by' satisfies keyof typeof GENERATED

/** Whether a value is a component that an earlier merge has written. */
const isMarked = (value: unknown) => isObject(value) && value[MARK] === GENERATED[MARK]

/** A component as it stands in a place of its own. */
const unmarked = (component: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(component).filter(([key]) => key !== MARK))

const isGenerated = (document: JsonObject, value: unknown) =>
  isObject(value) && '$ref' in value && isMarked(resolve(document, value))

/** Makes the `place` of a merge. A name that belongs to something else gets a number. */
function createPlacer(document: JsonObject, fragment: OpenApiFragment): Merge['place'] {
  const placed = new Map<string, string>()
  return function place(ref) {
    const known = placed.get(ref)
    if (known !== undefined) return known
    const [, , section = '', name = ''] = ref.split('/')
    const content = copy(fragment.components[section]?.[name], place) as JsonObject
    const components = (document['components'] ??= {}) as JsonObject
    const siblings = (components[section] ??= {}) as JsonObject
    const refOf = (key: string) => `#/components/${section}/${key}`
    const taken = new Set(placed.values())
    const isOurs = (key: string) => siblings[key] === undefined || isMarked(siblings[key])
    const key = findName(name, (one) => {
      const fits = isOurs(one) || isDeepStrictEqual(siblings[one], unmarked(content))
      return fits && !taken.has(refOf(one))
    })
    if (isOurs(key)) siblings[key] = content
    placed.set(ref, refOf(key))
    return refOf(key)
  }
}

function findName(name: string, isFree: (name: string) => boolean): string {
  const stem = name.replace(/_\d+$/, '')
  let found = name
  for (let n = 2; !isFree(found); n++) found = `${stem}_${n}`
  return found
}
