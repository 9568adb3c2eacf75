import { parseUtf8 } from '../bytes.ts'
import { compareText } from '../compare-text.ts'
import { toCanonicalNumber } from '../json/number.ts'
import {
  fail,
  hasFirst,
  hasNext,
  JsonFault,
  readDocument,
  type Reader,
  skipColon,
  skipName,
  skipScalar,
  skipString,
  unescape,
} from '../json/reader.ts'
import { ok, type Result } from '../result.ts'
import { toInstant } from './date-time.ts'
import { type FingerprintFault, payloadInvalid } from './fault.ts'
import { branchAt, type PointerTree } from './pointer-tree.ts'

/** ECMAScript writes no exponent for an integer of this many digits. */
const PLAIN_DIGITS = 21
/** A joined text up to this long is copied at once; a longer one, and what lies in it, only at the end. */
const MAX_COPIED_LENGTH = 1024
/** Stands for an ignored array element: no JSON value, so that it equals nothing else. */
const IGNORED_ELEMENT = '_'

interface Member {
  readonly name: string
  /** `undefined` where the rules leave the member out. */
  readonly canonical: string | undefined
}

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
  const text = parseUtf8(body)
  if (text === null) {
    return payloadInvalid('The JSON body is not UTF-8. Encode it as UTF-8.')
  }
  try {
    return ok(toCanonicalText(text, pointers))
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
  return readDocument(text, (reader) => readValue(reader, pointers))
}

function readValue(reader: Reader, pointers: PointerTree | undefined): string {
  switch (reader.text.charAt(reader.at)) {
    case '{':
      return readObject(reader, pointers)
    case '[':
      return readArray(reader, pointers)
    case '"':
      return readString(reader, pointers)
    default:
      return readScalar(reader)
  }
}

function readArray(reader: Reader, pointers: PointerTree | undefined): string {
  if (!hasFirst(reader, ']')) return '[]'
  const first = readElement(reader, pointers, 0)
  // No list for a single element: a body can hold half a million of such arrays.
  if (!hasNext(reader, ']')) return `[${first}]`
  const elements = [first]
  do {
    elements.push(readElement(reader, pointers, elements.length))
  } while (hasNext(reader, ']'))
  return `[${joinTexts(elements)}]`
}

function readElement(reader: Reader, pointers: PointerTree | undefined, index: number): string {
  const pointer = pointers && branchAt(pointers, String(index))
  const element = readValue(reader, pointer)
  return pointer?.isIgnored === true ? IGNORED_ELEMENT : element
}

function readObject(reader: Reader, pointers: PointerTree | undefined): string {
  if (!hasFirst(reader, '}')) return '{}'
  const members: Member[] = []
  let isSorted = true
  let last: string | undefined
  do {
    const member = readMember(reader, pointers)
    if (last !== undefined && member.name <= last) isSorted = false
    last = member.name
    members.push(member)
  } while (hasNext(reader, '}'))
  // Strictly ascending names are sorted, and no two of them are equal.
  if (!isSorted) sortMembers(reader, members)
  return joinMembers(members)
}

function readMember(reader: Reader, pointers: PointerTree | undefined): Member {
  const start = reader.at
  const isEscaped = skipName(reader)
  const literal = reader.text.slice(start, reader.at)
  const name = isEscaped ? unescapeWell(reader, literal) : literal.slice(1, -1)
  skipColon(reader)
  const pointer = pointers && branchAt(pointers, name)
  const value = readValue(reader, pointer)
  if (pointer?.isIgnored === true) return { name, canonical: undefined }
  return { name, canonical: `${isEscaped ? JSON.stringify(name) : literal}:${value}` }
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
  const value = isEscaped ? unescapeWell(reader, literal) : literal.slice(1, -1)
  const instant = isDate ? toInstant(value) : undefined
  return instant ?? (isEscaped ? JSON.stringify(value) : literal)
}

function unescapeWell(reader: Reader, literal: string): string {
  const value = unescape(reader, literal)
  if (!value.isWellFormed()) fail(reader, 'the string before has half of a surrogate pair')
  return value
}

function readScalar(reader: Reader): string {
  const start = reader.at
  const isDecimal = skipScalar(reader)
  const literal = reader.text.slice(start, reader.at)
  if (!isDecimal && literal.length <= PLAIN_DIGITS && literal !== '-0') return literal
  return toCanonicalNumber(literal) ?? fail(reader, 'the exponent of a number is out of range')
}
