import { tryDecode } from 'hono/utils/url'

/** An object of JSON, as it was parsed. */
export type JsonObject = Record<string, unknown>

/** Whether a value is an object of JSON. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value if it is an object, or an empty one. */
export const objectOf = (value: unknown): JsonObject => (isObject(value) ? value : {})

/** Copies a value so that it shares no objects, and rewrites every reference in it. */
export function copy<value>(value: value, toRef: (ref: string) => string = (ref) => ref): value {
  if (Array.isArray(value)) return value.map((item) => copy<unknown>(item, toRef)) as value
  if (!isObject(value)) return value
  const entries = Object.entries(value).map(([key, item]) => {
    return [key, key === '$ref' && typeof item === 'string' ? toRef(item) : copy(item, toRef)]
  })
  return Object.fromEntries(entries) as value
}

/**
 * Follows references within a document (RFC 6901 §6).
 *
 * @returns The object that a value refers to; `null` if that is in another file or nowhere.
 */
export function resolve(document: JsonObject, value: unknown, hops = 16): JsonObject | null {
  if (!isObject(value) || hops === 0) return null
  const { $ref: ref } = value
  if (typeof ref !== 'string') return value
  const [root, ...tokens] = ref.split('/')
  if (root !== '#' || tokens.length === 0) return null
  const target = tokens
    .map((token) => tryDecode(token, decodeURIComponent))
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(
      (node, token) => (isObject(node) && Object.hasOwn(node, token) ? node[token] : undefined),
      document,
    )
  return resolve(document, target, hops - 1)
}

/**
 * Adds missing members at every depth, and changes no others. Keys are compared without case, as
 * names of header fields and media types are. An object with a `$ref` can have no other members.
 */
export function fill(given: JsonObject, wanted: JsonObject): JsonObject {
  if ('$ref' in given || '$ref' in wanted) return given
  const filled = { ...given }
  const keys = Object.keys(given)
  for (const [key, value] of Object.entries(wanted)) {
    const isSame = (own: string) => own.toLowerCase() === key.toLowerCase()
    const own = keys.find((one) => one === key) ?? keys.find(isSame) ?? key
    const there = given[own]
    if (there === undefined) filled[own] = value
    else if (isObject(there) && isObject(value)) filled[own] = fill(there, value)
  }
  return filled
}
