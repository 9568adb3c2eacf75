import { isDeepStrictEqual } from 'node:util'

import {
  type OpenApiFragment,
  type OpenApiOperation,
  parameterNames,
} from '../../src/operators/protected-openapi.ts'
import { createPlacer, isGenerated, type Place, unmarked } from './components.ts'
import { copied, fill, isObject, type JsonObject, resolve } from './json.ts'
import { basesOf, findPath, pathBelow } from './paths.ts'

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

/**
 * Merges the contract into an OpenAPI 3 document; what the document says itself is kept.
 *
 * Merging again changes nothing. After a change of the contract, what an earlier merge has written
 * is renewed: it is known by its mark.
 */
export function mergeOpenApi(
  document: JsonObject,
  fragment: OpenApiFragment,
  options: MergeOptions = {},
): Merged {
  const merge: Merge = {
    document: copied(document),
    options,
    notes: [],
    merged: new Set(),
    place: () => '',
  }
  merge.place = createPlacer(merge.document, fragment)
  for (const { route } of fragment['x-idempotency-unmapped'] ?? []) {
    merge.notes.push(`${route}: OpenAPI has no words for such a path; left out.`)
  }
  for (const [path, item] of Object.entries(fragment.paths)) mergePath(merge, path, item)
  noteForsaken(merge)
  return { document: merge.document, notes: merge.notes }
}

/** One run of `mergeOpenApi`; its document is the copy that is being changed. */
interface Merge {
  readonly document: JsonObject
  readonly options: MergeOptions
  readonly notes: string[]
  readonly merged: Set<unknown>
  place: Place
}

function mergePath(merge: Merge, path: string, wanted: OpenApiFragment['paths'][string]): void {
  const { document, options } = merge
  const known = findPath(document, path, options.prefix)
  const item = known === null ? null : pathsOf(document)[known]
  if (isObject(item) && '$ref' in item) {
    merge.notes.push(`${known}: a $ref stands for the whole path; merge into what it refers to.`)
    return
  }
  const has = (method: string) => isObject(item) && isObject(item[method])
  for (const [method, operation] of Object.entries(wanted)) {
    const { route } = operation['x-idempotency']
    if (known !== null && has(method)) {
      mergeOperation(merge, { path: known, method }, operation)
    } else if (route.startsWith('ALL ') && siblings(wanted, route).some(has)) {
      // The route takes every method; the API does not have to.
    } else if (options.missing === 'add') {
      addOperation(merge, { path: known, wantedPath: path, method }, operation)
    } else {
      merge.notes.push(`${method.toUpperCase()} ${path}: not in the document; left out.`)
    }
  }
}

function siblings(item: OpenApiFragment['paths'][string], route: string): string[] {
  return Object.keys(item).filter((method) => item[method]?.['x-idempotency'].route === route)
}

interface Spot {
  readonly path: string
  readonly method: string
}

/** Gives an operation of the document what it lacks. */
function mergeOperation(merge: Merge, { path, method }: Spot, wanted: OpenApiOperation): void {
  const item = pathsOf(merge.document)[path] as JsonObject
  const operation = item[method] as JsonObject
  merge.merged.add(operation)
  if (operation['description'] === undefined && wanted.description !== undefined) {
    operation['description'] = wanted.description
  }
  const note = (text: string) => merge.notes.push(`${method.toUpperCase()} ${path}: ${text}`)
  mergeParameters(merge, { item, operation, note }, wanted)
  mergeResponses(merge, operation, wanted)
  operation['x-idempotency'] = wanted['x-idempotency']
}

interface Target {
  readonly item: JsonObject
  readonly operation: JsonObject
  readonly note: (text: string) => void
}

function mergeParameters(merge: Merge, target: Target, wanted: OpenApiOperation): void {
  const { document, place } = merge
  const { operation, item, note } = target
  // What an earlier merge has written is written anew.
  const own = listOf(operation['parameters']).filter((one) => !isGenerated(document, one))
  const shared = listOf(item['parameters'])
  for (const reference of wanted.parameters) {
    if (!('$ref' in reference)) continue
    const ref = place(reference.$ref)
    const parameter = resolve(document, { $ref: ref }) as JsonObject
    const isSame = (one: unknown) => isSameParameter(resolve(document, one), parameter)
    const at = own.findIndex(isSame)
    const there = own[at] ?? shared.find(isSame)
    if (there === undefined) {
      own.push({ $ref: ref })
      continue
    }
    const given = resolve(document, there) as JsonObject
    noteDifferences(given, parameter, note)
    const filled = fill(given, unmarked(withoutSchema(parameter, given)))
    // What is shared with other operations stays as it is: this one gets a copy.
    if (!isDeepStrictEqual(filled, given)) own.splice(at < 0 ? own.length : at, 1, filled)
  }
  const opaque = [...own, ...shared].filter((one) => resolve(document, one) === null)
  if (opaque.length > 0) {
    note('refers to parameters in another file, which were not looked at.')
  }
  if (own.length > 0 || operation['parameters'] !== undefined) operation['parameters'] = own
}

function isSameParameter(one: unknown, other: JsonObject): boolean {
  if (!isObject(one) || one['in'] !== other['in']) return false
  // Names of header fields are the same in any case.
  return String(one['name']).toLowerCase() === String(other['name']).toLowerCase()
}

/** A parameter has a schema or a content, not both. */
function withoutSchema({ schema, ...parameter }: JsonObject, given: JsonObject): JsonObject {
  return given['content'] === undefined ? { ...parameter, schema } : parameter
}

function noteDifferences(
  given: JsonObject,
  wanted: JsonObject,
  note: (text: string) => void,
): void {
  const compare = (theirs: unknown, ours: unknown, field: string) => {
    if (theirs === undefined || theirs === ours) return
    note(
      `${String(wanted['name'])}: ${field} is ${JSON.stringify(theirs)} in the document and ${JSON.stringify(ours)} in the contract; left as it is.`,
    )
  }
  compare(given['required'], wanted['required'] ?? false, 'required')
  const [theirs, ours] = [given['schema'], wanted['schema']]
  if (!isObject(theirs) || !isObject(ours)) return
  for (const rule of ['type', 'format', 'pattern', 'minLength', 'maxLength']) {
    if (ours[rule] !== undefined) compare(theirs[rule], ours[rule], rule)
  }
}

function mergeResponses(merge: Merge, operation: JsonObject, wanted: OpenApiOperation): void {
  const { document, place } = merge
  // What an earlier merge has written is written anew.
  const responses = Object.fromEntries(
    Object.entries(operation['responses'] ?? {}).filter(([, one]) => !isGenerated(document, one)),
  )
  for (const [status, { $ref }] of Object.entries(wanted.responses ?? {})) {
    responses[status] = withProblem(document, responses[status], { $ref: place($ref) })
  }
  if (Object.keys(responses).length > 0) operation['responses'] = responses
}

/** What the document says of a status, and what of the problem's response it does not say. */
function withProblem(document: JsonObject, given: unknown, problem: JsonObject): unknown {
  if (given === undefined) return problem
  const response = resolve(document, given)
  // It is in another file.
  if (response === null) return given
  const filled = fill(response, unmarked(resolve(document, problem) ?? {}))
  // What is shared with other operations stays as it is: this one gets a copy.
  return isDeepStrictEqual(filled, response) ? given : filled
}

interface NewSpot {
  /** Of the document, where it has the path without the method. */
  readonly path: string | null
  readonly wantedPath: string
  readonly method: string
}

function addOperation(merge: Merge, spot: NewSpot, wanted: OpenApiOperation): void {
  const { document, options, notes } = merge
  const path = spot.path ?? pathBelow(spot.wantedPath, basesOf(document, options.prefix))
  if (path === null) {
    notes.push(
      `${spot.method.toUpperCase()} ${spot.wantedPath}: not under ${options.prefix}; left out.`,
    )
    return
  }
  const item = (document['paths'] ??= {}) as JsonObject
  const methods = (item[path] ??= {}) as JsonObject
  const shared = listOf(methods['parameters']).map((one) => resolve(document, one))
  const names = parameterNames(path)
  const parameters = wanted.parameters
    .filter((one) => 'in' in one)
    .map((one, i) => ({ ...one, name: names[i] ?? one.name }))
    .filter((one) => !shared.some((known) => isSameParameter(known, { ...one })))
  methods[spot.method] = parameters.length > 0 ? { parameters } : {}
  mergeOperation(merge, { path, method: spot.method }, wanted)
  // OpenAPI 3.0 has no operation without responses.
  const operation = methods[spot.method] as JsonObject
  operation['responses'] ??= { default: { description: 'What the API answers.' } }
}

/** Tells of what an earlier merge has written and the contract does not speak of any more. */
function noteForsaken({ document, merged, notes }: Merge): void {
  for (const [path, item] of Object.entries(pathsOf(document))) {
    if (!isObject(item)) continue
    for (const [method, operation] of Object.entries(item)) {
      if (!isObject(operation) || !operation['x-idempotency'] || merged.has(operation)) continue
      notes.push(
        `${method.toUpperCase()} ${path}: bears x-idempotency, and the contract does not name it (any more).`,
      )
    }
  }
}

function pathsOf(document: JsonObject): JsonObject {
  return isObject(document['paths']) ? document['paths'] : {}
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}
