import { isJsonValue } from '../json/json-value.ts'
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
