import { err, ok, type Result } from '../result.ts'

/** Longest key that is accepted, in characters after unquoting. */
export const MAX_KEY_LENGTH = 255

/** RFC 9562 §4, in either case. */
export const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i

/** What may stand around a field's value (RFC 9110 §5.6.3); other white space belongs to it. */
const BLANKS = /^[ \t]+|[ \t]+$/g

const PRINTABLE = /^[ -~]*$/

/** A key in which every character is escaped, in quotes, with white space around. */
const MAX_FIELD_LENGTH = 4 * MAX_KEY_LENGTH

/** Visible ASCII without `"` and `,`: a comma would hide a second header field. */
const BARE = /^[\x21\x23-\x2b\x2d-\x7e]*$/

/** What a route asks of its clients' keys, beyond the syntax. */
export interface KeyFormat {
  /** As the contract says it: `any`, `uuid`, or the pattern with its flags. */
  readonly name: string
  readonly pattern: RegExp
  /** In characters. */
  readonly minLength: number
}

/** Reads a key that stands in a body, where no syntax surrounds it. */
export function parsePlainKey(text: string): Result<string, string> {
  return PRINTABLE.test(text) ? checkLength(text) : err('A key is printable ASCII.')
}

/** Holds a key against the format of its route. */
export function checkFormat(key: string, format: KeyFormat): Result<string, string> {
  const { name, pattern, minLength } = format
  if (key.length < minLength) {
    return err(`The key has ${key.length} characters; this route wants at least ${minLength}.`)
  }
  // One that remembers where it stands would take every other key.
  pattern.lastIndex = 0
  if (pattern.test(key)) return ok(key)
  return err(`The key has not the format of this route: ${name}.`)
}

/**
 * Reads the value of a header field that holds an idempotency key.
 *
 * The value is a bare token or an RFC 9651 String (§3.3.3): `k` and `"k"` are the same key.
 * Fields sent twice arrive joined by a comma, which neither form allows outside quotes.
 *
 * @returns The key, or the rule that the value breaks, as a sentence that never quotes the value.
 */
export function parseKey(field: string): Result<string, string> {
  if (field.length > MAX_FIELD_LENGTH) {
    return err(`The key is too long; at most ${MAX_KEY_LENGTH} characters are allowed.`)
  }
  const value = field.replace(BLANKS, '')
  const key = value.startsWith('"') ? parseString(value) : parseBare(value)
  return key.ok ? checkLength(key.value) : key
}

function checkLength(key: string): Result<string, string> {
  if (key.length === 0) return err('The key is empty; send 1 to 255 characters.')
  if (key.length <= MAX_KEY_LENGTH) return ok(key)
  return err(`The key has ${key.length} characters; at most ${MAX_KEY_LENGTH} are allowed.`)
}

function parseBare(value: string): Result<string, string> {
  if (value.includes(',')) return err('There is more than one key; send one field with one value.')
  if (!BARE.test(value)) {
    return err('A key without quotes is visible ASCII, without spaces and double quotes.')
  }
  return ok(value)
}

/** RFC 9651 §4.2.5, then nothing more: an Item without parameters. */
function parseString(value: string): Result<string, string> {
  let key = ''
  for (let i = 1; i < value.length; i++) {
    const char = value.charAt(i)
    if (char === '"') return i === value.length - 1 ? ok(key) : err(TRAILING)
    if (char < ' ' || char > '~') return err('A quoted key is printable ASCII.')
    if (char !== '\\') {
      key += char
      continue
    }
    i += 1
    const escaped = value.charAt(i)
    if (escaped !== '"' && escaped !== '\\') {
      return err('In a quoted key a backslash stands only before a double quote or a backslash.')
    }
    key += escaped
  }
  return err('A quoted key ends with a double quote.')
}

const TRAILING =
  'Nothing may follow a quoted key: no parameters, and no second key. Send one field with one value.'
