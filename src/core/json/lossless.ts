/**
 * Writes an event as JSON, unless something of it would be lost without a word: then it throws. An
 * object is JSON if it is a plain one, an instance of a class of the caller's own, or says by `toJSON`
 * what it is. A member that is `undefined` is left out, as everywhere.
 *
 * @throws {TypeError} Also for a cycle, and for a getter or `toJSON` that throws.
 */
export function toLosslessJson(value: object): string {
  try {
    return JSON.stringify(value, refuseLoss)
  } catch (error) {
    if (error instanceof TypeError) throw error
    throw new TypeError("An event's data must be JSON, and could not be read.", { cause: error })
  }
}

function refuseLoss(this: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown {
  const lost = lossOf(this, key, value)
  if (lost === null) return value
  throw new TypeError(`An event's data must be JSON, in which ${lost} would be lost.`)
}

/** @param value What `toJSON` has made of the holder's member. */
function lossOf(
  holder: Readonly<Record<string, unknown>>,
  key: string,
  value: unknown,
): string | null {
  switch (typeof value) {
    case 'undefined':
      return Array.isArray(holder) || holder[key] !== undefined ? 'undefined' : null
    case 'number':
      return Number.isFinite(value) ? null : String(value)
    case 'object':
      if (value !== null) return lossOfObject(value)
      return tagOf(holder[key]) === 'Date' ? 'an invalid Date' : null
    case 'bigint':
    case 'function':
    case 'symbol':
      return `a ${typeof value}`
    case 'string':
    case 'boolean':
      return null
  }
}

function lossOfObject(value: object): string | null {
  if (Object.getOwnPropertySymbols(value).some((name) => isEnumerable(value, name)))
    return 'a member that is named by a symbol'
  if (Array.isArray(value)) return isList(value) ? null : 'a gap or a named member of a list'
  // Whatever the language or the platform has of its own (Map, Error, Uint8Array, Request …) has a tag.
  const tag = tagOf(value)
  if (tag !== 'Object') return `a value of the type ${tag}`
  return isHollow(value) ? 'an instance that has no members of its own' : null
}

/** Whether all that it holds is where JSON does not look: in private members, or in its prototype. */
function isHollow(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null
  return !isPlain && Object.keys(value).length === 0
}

const isEnumerable = (value: object, name: symbol) =>
  Object.prototype.propertyIsEnumerable.call(value, name)

/** Whether it has all its elements, and no other members. */
function isList(value: readonly unknown[]): boolean {
  const names = Object.keys(value)
  return names.length === value.length && names.every((name, index) => name === String(index))
}

const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1)
