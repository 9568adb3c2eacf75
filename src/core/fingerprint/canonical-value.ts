import { toCanonicalText } from './canonical-json.ts'

/**
 * Writes a value of JSON in the one form in which such values are compared.
 *
 * @returns `null` for what is none: a function, a class instance, NaN, `undefined` but as a member.
 */
export function toCanonicalValue(value: unknown): string | null {
  try {
    return isJsonValue(value) ? toCanonicalText(JSON.stringify(value), undefined) : null
  } catch {
    // It holds itself, is too deep or is no Unicode text.
    return null
  }
}

function isJsonValue(value: unknown): boolean {
  if (typeof value === 'object') return value === null || isJsonObject(value)
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

function isJsonObject(value: object): boolean {
  if (Array.isArray(value)) return value.every(isJsonValue)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return Object.values(value).every((member) => member === undefined || isJsonValue(member))
}
