import { toCanonicalText } from '../fingerprint/canonical-json.ts'
import { findValue } from './spans.ts'

/** A value of a JSON text that a key can be made of. */
export interface ValueAt {
  /** `literal` is a number or boolean; `nested` is an object or array, of which no key is made. */
  readonly kind: 'string' | 'literal' | 'nested'
  /** As the client wrote it. */
  readonly written: string
  /** A string without quotes and escapes, a literal in its canonical form, `''` for what is nested. */
  readonly text: string
}

/**
 * Reads the value that a JSON pointer's tokens lead to.
 *
 * @returns `null` where there is none, or where it is JSON's own null.
 */
export function readValueAt(json: string, tokens: readonly string[]): ValueAt | null {
  const span = findValue(json, tokens)
  if (span === null) return null
  const written = json.slice(span.start, span.end)
  if (/^[[{]/.test(written)) return { kind: 'nested', written, text: '' }
  const literal = toCanonicalText(written, undefined)
  if (literal === 'null') return null
  return literal.startsWith('"')
    ? { kind: 'string', written, text: JSON.parse(literal) as string }
    : { kind: 'literal', written, text: literal }
}
