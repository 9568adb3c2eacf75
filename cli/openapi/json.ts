/** An object of JSON, as it was parsed. */
export type JsonObject = Record<string, unknown>

/** Whether a value is an object of JSON. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A copy in which nothing occurs twice, as aliases of YAML would have it. */
export function copied<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copied) as T
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copied(item)])) as T
}

const MAX_HOPS = 16

/**
 * Follows references within a document.
 *
 * @returns The object that is meant, or `null` where that is in another file or nowhere.
 */
export function resolve(document: JsonObject, value: unknown): JsonObject | null {
  let found = value
  for (let hop = 0; hop < MAX_HOPS; hop++) {
    if (!isObject(found)) return null
    const { $ref: ref } = found
    if (typeof ref !== 'string') return found
    if (!ref.startsWith('#/')) return null
    found = at(document, ref)
  }
  return null
}

/** What a JSON pointer in a URI fragment points to (RFC 6901 §6). */
function at(document: JsonObject, ref: string): unknown {
  const tokens = ref
    .slice(2)
    .split('/')
    .map((token) => decoded(token).replaceAll('~1', '/').replaceAll('~0', '~'))
  return tokens.reduce<unknown>(
    (node, token) => (isObject(node) && Object.hasOwn(node, token) ? node[token] : undefined),
    document,
  )
}

function decoded(token: string): string {
  try {
    return decodeURIComponent(token)
  } catch {
    return token
  }
}

/** The key of an object that is the same but for case. */
function foldedKey(object: JsonObject, key: string): string | undefined {
  if (Object.hasOwn(object, key)) return key
  return Object.keys(object).find((own) => own.toLowerCase() === key.toLowerCase())
}

/**
 * Adds what is lacking, at every depth, and changes nothing that is there.
 *
 * Keys are the same in any case, as names of header fields and media types are. What refers
 * elsewhere is complete: nothing may stand beside a `$ref`.
 */
export function fill(given: JsonObject, wanted: JsonObject): JsonObject {
  if ('$ref' in given || '$ref' in wanted) return given
  const filled = { ...given }
  for (const [key, value] of Object.entries(wanted)) {
    const own = foldedKey(given, key)
    if (own === undefined) {
      filled[key] = value
      continue
    }
    const there = given[own]
    if (isObject(there) && isObject(value)) filled[own] = fill(there, value)
  }
  return filled
}
