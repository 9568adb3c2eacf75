import { isDeepStrictEqual } from 'node:util'

import { parameterNames } from '../../src/operators/path-template.ts'
import {
  GENERATED,
  type OpenApiFragment,
  type OpenApiOperation,
} from '../../src/operators/protected-openapi.ts'
import { copy, fill, isObject, type JsonObject, objectOf, resolve } from './json.ts'
import { basesOf, findPath, pathBelow, pathsOf } from './paths.ts'

export interface MergeOptions {
  /** Path of the gateway that contains the document's paths. Default: from its `servers`. */
  readonly prefix?: string
  /** What to do with operations that the document does not have. Default: `report`. */
  readonly missing?: 'report' | 'add'
}

export interface Merged {
  readonly document: JsonObject
  /** A sentence for each omission and each difference between document and contract. */
  readonly notes: readonly string[]
}

/** One run of `mergeOpenApi`; its document is the copy that is being changed. */
interface Merge {
  readonly document: JsonObject
  readonly options: MergeOptions
  readonly notes: string[]
  readonly merged: Set<unknown>
  /** Copies a component of the fragment and all its references. @returns Its new reference. */
  readonly place: (ref: string) => string
}

/**
 * Merges the contract into an OpenAPI 3 document, and keeps what the document says itself.
 *
 * Merging again changes nothing. After a change of the contract, a merge renews what an earlier one
 * has marked as its own.
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
  const item = itemAt(document, known)
  if ('$ref' in item) {
    notes.push(`${known}: a $ref stands for the whole path; merge into what it refers to.`)
    return
  }
  const has = (method: string) => isObject(item[method])
  const path = known ?? pathBelow(wantedPath, basesOf(document, options.prefix))
  for (const [method, operation] of Object.entries(wanted)) {
    // Where the route takes every method, the API does not have to.
    if (!has(method) && methodsLike(wanted, operation).some(has)) continue
    const isWanted = has(method) || options.missing === 'add'
    if (isWanted && path !== null) mergeOperation(merge, { path, method }, operation)
    else {
      const because = isWanted ? `not under ${options.prefix}` : 'not in the document'
      notes.push(`${method.toUpperCase()} ${wantedPath}: ${because}; left out.`)
    }
  }
}

const itemAt = (document: JsonObject, path: string | null): JsonObject =>
  path === null ? {} : objectOf(pathsOf(document)[path])

/** The methods of a route for every method in an item. */
function methodsLike(
  item: OpenApiFragment['paths'][string],
  operation: OpenApiOperation,
): string[] {
  const { route } = operation['x-idempotency']
  const isSibling = (method: string) => item[method]?.['x-idempotency'].route === route
  return route.startsWith('ALL ') ? Object.keys(item).filter(isSibling) : []
}

/** Completes an operation, or adds it. */
function mergeOperation(
  merge: Merge,
  { path, method }: { readonly path: string; readonly method: string },
  wanted: OpenApiOperation,
): void {
  const { document } = merge
  const paths = (document['paths'] ??= {}) as JsonObject
  const item = (paths[path] ??= {}) as JsonObject
  const isNew = !isObject(item[method])
  if (isNew) item[method] = newOperation(merge, { path, item }, wanted)
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

/** An operation with the path parameters that its path item does not declare. */
function newOperation(
  { document }: Merge,
  { path, item }: { readonly path: string; readonly item: JsonObject },
  wanted: OpenApiOperation,
): JsonObject {
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
  // Parameters of an earlier merge are written anew.
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

/** Completes what the document says with a component. A shared original stays as it is. */
function complete(document: JsonObject, given: unknown, $ref: string): unknown {
  if (given === undefined) return { $ref }
  const there = resolve(document, given)
  // It is in another file.
  if (there === null) return given
  const { schema, ...component } = unmarked(objectOf(resolve(document, { $ref })))
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

const factsOf = ({ required, schema }: JsonObject) => ({ ...objectOf(schema), required })

function noteDifferences(given: JsonObject | null, wanted: JsonObject, note: Target['note']): void {
  const theirs: JsonObject = factsOf(given ?? {})
  const ours: JsonObject = factsOf({ required: false, ...wanted })
  for (const fact of ['required', 'type', 'format', 'pattern', 'minLength', 'maxLength']) {
    const [there, here] = [theirs[fact], ours[fact]]
    if (there === undefined || here === undefined || there === here) continue
    note(
      `${String(wanted['name'])}: ${fact} is ${JSON.stringify(there)} in the document and ${JSON.stringify(here)} in the contract; left as it is.`,
    )
  }
}

/** Notes operations of an earlier merge that the contract does not name any more. */
function noteForsaken({ document, merged, notes }: Merge): void {
  for (const [path, item] of Object.entries(pathsOf(document))) {
    for (const [method, operation] of Object.entries(objectOf(item))) {
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

/** A component as part of the user's document. */
const unmarked = (component: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(component).filter(([key]) => key !== MARK))

const isGenerated = (document: JsonObject, value: unknown) =>
  isObject(value) && '$ref' in value && isMarked(resolve(document, value))

/** Makes the `place` of a merge. If the name belongs to something else, the component gets a number. */
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
    const isSame = (key: string) => isDeepStrictEqual(siblings[key], unmarked(content))
    const isFree = (key: string) => !taken.has(refOf(key)) && (isOurs(key) || isSame(key))
    const key = findName(name, isFree)
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
