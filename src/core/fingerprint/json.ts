import { canonicalize } from 'json-canonicalize'

import { ok, type Result } from '../result.ts'
import { compareText } from './compare-text.ts'
import { toInstant } from './date-time.ts'
import { type FingerprintFault, payloadInvalid } from './fault.ts'
import { toCanonicalNumber } from './number.ts'
import { branchAt, type PointerTree } from './pointers.ts'

/** Deeper nesting is refused: each level takes room on the stack. */
const MAX_DEPTH = 1000
/** ECMAScript writes no exponent for an integer of this many digits. */
const PLAIN_DIGITS = 21
/** A joined text up to this long is copied at once; a longer one, and what lies in it, only at the end. */
const MAX_COPIED_LENGTH = 1024
/** Stands for an ignored array element: no JSON value, so that it equals nothing else. */
const IGNORED_ELEMENT = '_'

const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const PLUS = 0x2b
const COMMA = 0x2c
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const UPPER_E = 0x45
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const LOWER_E = 0x65
const LOWER_F = 0x66
const LOWER_N = 0x6e
const LOWER_T = 0x74
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const BYTE_ORDER_MARK = 0xfeff

/** Where the parser stands. */
interface Reader {
  readonly text: string
  at: number
  depth: number
}

interface Member {
  readonly name: string
  /** `undefined` where the rules leave the member out. */
  readonly canonical: string | undefined
}

/** Leaves the recursion; never leaves this file. */
class JsonFault extends Error {}

/**
 * Writes a JSON body in the one form that all spellings of the same value share: RFC 8785 but for
 * numbers, which keep their exact decimal value.
 *
 * The grammar is RFC 8259, strictly. Refused as well: a byte order mark, malformed UTF-8, unpaired
 * surrogates, two members of one name, nesting deeper than 1000.
 *
 * One pass and no tree: each value is read straight into its canonical text.
 */
export function toCanonicalJson(
  body: Uint8Array,
  pointers: PointerTree | undefined,
): Result<string, FingerprintFault> {
  if (body.length === 0) {
    return payloadInvalid('The body is empty, which is not JSON. Send a JSON value.')
  }
  const text = decode(body)
  if (text === undefined) {
    return payloadInvalid('The JSON body is not UTF-8. Encode it as UTF-8.')
  }
  try {
    return ok(readDocument({ text, at: 0, depth: 0 }, pointers))
  } catch (error) {
    if (error instanceof JsonFault) return payloadInvalid(error.message)
    throw error
  }
}

/**
 * Writes a value of a body that is known to be JSON in its one form.
 *
 * @param pointers What the rules say of that value.
 * @throws Error where it is no JSON.
 */
export function toCanonicalText(text: string, pointers: PointerTree | undefined): string {
  return readDocument({ text, at: 0, depth: 0 }, pointers)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(body: Uint8Array): string | undefined {
  try {
    return utf8.decode(body)
  } catch {
    return undefined
  }
}

function readDocument(reader: Reader, pointers: PointerTree | undefined): string {
  if (reader.text.charCodeAt(0) === BYTE_ORDER_MARK) {
    throw new JsonFault('The JSON body begins with a byte order mark. Send it without.')
  }
  skipSpace(reader)
  const canonical = readValue(reader, pointers)
  skipSpace(reader)
  if (reader.at < reader.text.length) fail(reader, 'something follows the value')
  return canonical
}

function readValue(reader: Reader, pointers: PointerTree | undefined): string {
  switch (reader.text.charCodeAt(reader.at)) {
    case OPEN_BRACE:
      return readObject(reader, pointers)
    case OPEN_BRACKET:
      return readArray(reader, pointers)
    case QUOTE:
      return readString(reader, pointers)
    case LOWER_T:
      return readLiteral(reader, 'true')
    case LOWER_F:
      return readLiteral(reader, 'false')
    case LOWER_N:
      return readLiteral(reader, 'null')
    default:
      return readNumber(reader)
  }
}

function readArray(reader: Reader, pointers: PointerTree | undefined): string {
  if (isEmpty(reader, CLOSE_BRACKET)) return '[]'
  const first = readElement(reader, pointers, 0)
  // No list for a single element: a body can hold half a million of such arrays.
  if (!hasNext(reader, CLOSE_BRACKET)) return `[${first}]`
  const elements = [first]
  do {
    elements.push(readElement(reader, pointers, elements.length))
  } while (hasNext(reader, CLOSE_BRACKET))
  return `[${joinTexts(elements)}]`
}

function readElement(reader: Reader, pointers: PointerTree | undefined, index: number): string {
  const pointer = pointers && branchAt(pointers, String(index))
  const element = readValue(reader, pointer)
  return pointer?.isIgnored === true ? IGNORED_ELEMENT : element
}

function readObject(reader: Reader, pointers: PointerTree | undefined): string {
  if (isEmpty(reader, CLOSE_BRACE)) return '{}'
  const members: Member[] = []
  let isSorted = true
  let last: string | undefined
  do {
    const member = readMember(reader, pointers)
    if (last !== undefined && member.name <= last) isSorted = false
    last = member.name
    members.push(member)
  } while (hasNext(reader, CLOSE_BRACE))
  // Strictly ascending names are sorted, and no two of them are equal.
  if (!isSorted) sortMembers(reader, members)
  return joinMembers(members)
}

function readMember(reader: Reader, pointers: PointerTree | undefined): Member {
  const start = reader.at
  if (reader.text.charCodeAt(start) !== QUOTE) fail(reader, 'a member name is missing')
  const isEscaped = skipString(reader)
  const literal = reader.text.slice(start, reader.at)
  const name = isEscaped ? unescape(reader, literal) : literal.slice(1, -1)
  skipSpace(reader)
  if (reader.text.charCodeAt(reader.at) !== COLON) fail(reader, 'a colon is missing')
  reader.at += 1
  skipSpace(reader)
  const pointer = pointers && branchAt(pointers, name)
  const value = readValue(reader, pointer)
  if (pointer?.isIgnored === true) return { name, canonical: undefined }
  return { name, canonical: `${isEscaped ? canonicalize(name) : literal}:${value}` }
}

/** Sorts by UTF-16 code units (RFC 8785 §3.2.3); equal names end up side by side. */
function sortMembers(reader: Reader, members: Member[]): void {
  members.sort((one, other) => compareText(one.name, other.name))
  for (let index = 1; index < members.length; index += 1) {
    if (members[index]?.name === members[index - 1]?.name) {
      throw new JsonFault(
        `The JSON body has two members of one name in the object that ends at character ${reader.at}. Send each member once.`,
      )
    }
  }
}

function joinMembers(members: readonly Member[]): string {
  const texts: string[] = []
  for (const member of members) if (member.canonical !== undefined) texts.push(member.canonical)
  return `{${joinTexts(texts)}}`
}

/**
 * Joins short texts by `join`, which is fast, and long ones by `+=`: the engine then copies them once,
 * at the end, and not once for each level that they lie deep.
 */
function joinTexts(texts: readonly string[]): string {
  if (texts.length <= 1) return texts[0] ?? ''
  let length = 0
  for (const text of texts) length += text.length
  if (length <= MAX_COPIED_LENGTH) return texts.join(',')
  let joined = ''
  for (const text of texts) joined += joined === '' ? text : `,${text}`
  return joined
}

function readString(reader: Reader, pointers: PointerTree | undefined): string {
  const start = reader.at
  const isEscaped = skipString(reader)
  const literal = reader.text.slice(start, reader.at)
  const isDate = pointers?.isDate === true
  // Without escapes the literal is what RFC 8785 §3.2.2.2 would write.
  if (!isEscaped && !isDate) return literal
  const value = isEscaped ? unescape(reader, literal) : literal.slice(1, -1)
  const instant = isDate ? toInstant(value) : undefined
  return instant ?? (isEscaped ? canonicalize(value) : literal)
}

/** Moves behind the closing quote; says whether there was a backslash. */
function skipString(reader: Reader): boolean {
  const { text } = reader
  let isEscaped = false
  let at = reader.at + 1
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      reader.at = at + 1
      return isEscaped
    }
    if (code === BACKSLASH) {
      isEscaped = true
      at += 2
    } else if (code >= SPACE) {
      at += 1
    } else {
      reader.at = at
      fail(reader, 'a string holds a control character')
    }
    if (at >= text.length) fail(reader, 'a string does not end')
  }
}

/** Takes the escapes of a string literal apart with the platform's own parser. */
function unescape(reader: Reader, literal: string): string {
  let value: string
  try {
    value = JSON.parse(literal) as string
  } catch {
    return fail(reader, 'the string before has an unknown escape')
  }
  if (!value.isWellFormed()) fail(reader, 'the string before has half of a surrogate pair')
  return value
}

function readLiteral(reader: Reader, literal: 'true' | 'false' | 'null'): string {
  if (!reader.text.startsWith(literal, reader.at)) fail(reader, 'there is no JSON value')
  reader.at += literal.length
  return literal
}

function readNumber(reader: Reader): string {
  const { text, at: start } = reader
  const integerStart = text.charCodeAt(start) === MINUS ? start + 1 : start
  const integerEnd = skipDigits(reader, integerStart, 'there is no JSON value')
  if (text.charCodeAt(integerStart) === ZERO && integerEnd > integerStart + 1) {
    fail(reader, 'a number begins with 0')
  }
  const end = skipExponent(reader, skipFraction(reader, integerEnd))
  reader.at = end
  const literal = text.slice(start, end)
  const isPlain = end === integerEnd && end - integerStart <= PLAIN_DIGITS && literal !== '-0'
  if (isPlain) return literal
  return toCanonicalNumber(literal) ?? fail(reader, 'the exponent of a number is out of range')
}

function skipFraction(reader: Reader, at: number): number {
  if (reader.text.charCodeAt(at) !== POINT) return at
  return skipDigits(reader, at + 1, 'a number has no digit after its point')
}

function skipExponent(reader: Reader, at: number): number {
  const mark = reader.text.charCodeAt(at)
  if (mark !== LOWER_E && mark !== UPPER_E) return at
  const sign = reader.text.charCodeAt(at + 1)
  const start = sign === PLUS || sign === MINUS ? at + 2 : at + 1
  return skipDigits(reader, start, 'a number has no digit in its exponent')
}

function skipDigits(reader: Reader, start: number, whenNone: string): number {
  let at = start
  for (;;) {
    const code = reader.text.charCodeAt(at)
    // Written so that NaN, at the end of the text, is no digit.
    if (!(code >= ZERO && code <= NINE)) break
    at += 1
  }
  if (at === start) fail(reader, whenNone)
  return at
}

/** Enters an array or object; where it ends at once, leaves it and says so. */
function isEmpty(reader: Reader, close: number): boolean {
  reader.depth += 1
  if (reader.depth > MAX_DEPTH) {
    throw new JsonFault(
      `The JSON body is nested deeper than ${MAX_DEPTH} levels. Send a flatter document.`,
    )
  }
  reader.at += 1
  skipSpace(reader)
  return isClosed(reader, close)
}

function isClosed(reader: Reader, close: number): boolean {
  if (reader.text.charCodeAt(reader.at) !== close) return false
  reader.at += 1
  reader.depth -= 1
  return true
}

/** Moves to the next element or member; where there is none, leaves the array or object. */
function hasNext(reader: Reader, close: number): boolean {
  skipSpace(reader)
  if (isClosed(reader, close)) return false
  if (reader.text.charCodeAt(reader.at) !== COMMA)
    fail(reader, 'a comma or a closing bracket is missing')
  reader.at += 1
  skipSpace(reader)
  return true
}

function skipSpace(reader: Reader): void {
  for (;;) {
    const code = reader.text.charCodeAt(reader.at)
    // Nearly every character is above the space, and NaN, at the end of the text, is no space.
    if (!(code <= SPACE)) return
    const isSpace = code === SPACE || code === LINE_FEED || code === CARRIAGE_RETURN || code === TAB
    if (!isSpace) return
    reader.at += 1
  }
}

function fail(reader: Reader, what: string): never {
  throw new JsonFault(
    `The body is not valid JSON: ${what}, at character ${reader.at}. Send it as RFC 8259 defines it.`,
  )
}
