import { err, ok, type Result } from '../result.ts'

/** As a reference token of a rule: every member, every item. */
export const EVERY = '*'

/** `~` but before 0 or 1. */
const BAD_ESCAPE = /~(?![01])/

/**
 * Splits a JSON pointer (RFC 6901) into its reference tokens, unescaped.
 *
 * The error is a sentence. The pointer to the whole document, `''`, is refused: a fingerprint that
 * leaves out everything compares nothing.
 */
export function parsePointer(pointer: string): Result<readonly string[], string> {
  if (!pointer.startsWith('/')) return err(`"${pointer}" must begin with "/".`)
  if (BAD_ESCAPE.test(pointer)) return err(`"${pointer}" must write "~" as "~0" and "/" as "~1".`)
  const tokens = pointer.slice(1).split('/')
  return ok(tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')))
}

/** Splits a pointer that was checked before. @throws Error for a malformed one. */
export function splitPointer(pointer: string): readonly string[] {
  const tokens = parsePointer(pointer)
  if (!tokens.ok) throw new Error(`Not a JSON pointer: ${tokens.error}`)
  return tokens.value
}

/** Writes one reference token as a pointer, escaped. */
export const toPointer = (token: string): string =>
  `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`
