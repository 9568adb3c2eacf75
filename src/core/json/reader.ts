/** Deeper nesting is refused: each level takes room on the stack. */
const MAX_DEPTH = 1000

const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const ZERO = 0x30
const NINE = 0x39
const BACKSLASH = 0x5c

/** A position in a JSON text; the functions of this file check the grammar and move it on. */
export interface Reader {
  readonly text: string
  at: number
  /** How many objects and arrays are open. */
  depth: number
}

/** Says why a text is not JSON. The message never quotes the text. */
export class JsonFault extends Error {}

/**
 * Reads a text that holds exactly one JSON value (RFC 8259, strictly).
 *
 * @param read Reads that value and moves behind it.
 * @throws {JsonFault} Also for nesting deeper than 1000.
 */
export function readDocument<value>(text: string, read: (reader: Reader) => value): value {
  if (text.startsWith('\uFEFF')) {
    throw new JsonFault('The JSON body begins with a byte order mark. Send it without.')
  }
  const reader = { text, at: 0, depth: 0 }
  skipSpace(reader)
  const value = read(reader)
  skipSpace(reader)
  if (reader.at < text.length) fail(reader, 'something follows the value')
  return value
}

/** Moves to the first element or member; leaves an empty array or object and returns `false`. */
export function hasFirst(reader: Reader, close: '}' | ']'): boolean {
  reader.depth += 1
  if (reader.depth > MAX_DEPTH) {
    throw new JsonFault(
      `The JSON body is nested deeper than ${MAX_DEPTH} levels. Send a flatter document.`,
    )
  }
  reader.at += 1
  skipSpace(reader)
  return !isClosed(reader, close)
}

/** Moves to the next element or member; leaves the array or object after the last and returns `false`. */
export function hasNext(reader: Reader, close: '}' | ']'): boolean {
  skipSpace(reader)
  if (isClosed(reader, close)) return false
  if (reader.text[reader.at] !== ',') fail(reader, 'a comma or a closing bracket is missing')
  reader.at += 1
  skipSpace(reader)
  return true
}

function isClosed(reader: Reader, close: '}' | ']'): boolean {
  if (reader.text[reader.at] !== close) return false
  reader.at += 1
  reader.depth -= 1
  return true
}

/** Moves behind a member's name and returns whether it has escapes. */
export function skipName(reader: Reader): boolean {
  if (reader.text[reader.at] !== '"') fail(reader, 'a member name is missing')
  return skipString(reader)
}

/** Moves from behind a member's name to its value. */
export function skipColon(reader: Reader): void {
  skipSpace(reader)
  if (reader.text[reader.at] !== ':') fail(reader, 'a colon is missing')
  reader.at += 1
  skipSpace(reader)
}

/** Moves behind a string and returns whether it has escapes, which only `unescape` checks. */
export function skipString(reader: Reader): boolean {
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

/** Reads the string literal that ends here, with the platform's own parser for its escapes. */
export function unescape(reader: Reader, literal: string): string {
  try {
    return JSON.parse(literal) as string
  } catch {
    return fail(reader, 'the string before has an unknown escape')
  }
}

/** Moves behind a number or a literal name and returns whether it has a fraction or an exponent. */
export function skipScalar(reader: Reader): boolean {
  switch (reader.text.charAt(reader.at)) {
    case 't':
      return skipLiteral(reader, 'true')
    case 'f':
      return skipLiteral(reader, 'false')
    case 'n':
      return skipLiteral(reader, 'null')
    default:
      return skipNumber(reader)
  }
}

function skipLiteral(reader: Reader, literal: 'true' | 'false' | 'null'): false {
  if (!reader.text.startsWith(literal, reader.at)) fail(reader, 'there is no JSON value')
  reader.at += literal.length
  return false
}

function skipNumber(reader: Reader): boolean {
  const { text, at: start } = reader
  const integerStart = text[start] === '-' ? start + 1 : start
  const integerEnd = skipDigits(reader, integerStart, 'there is no JSON value')
  if (text[integerStart] === '0' && integerEnd > integerStart + 1) {
    fail(reader, 'a number begins with 0')
  }
  let end = integerEnd
  if (text[end] === '.') {
    end = skipDigits(reader, end + 1, 'a number has no digit after its point')
  }
  if (text[end] === 'e' || text[end] === 'E') {
    const isSigned = text[end + 1] === '+' || text[end + 1] === '-'
    end = skipDigits(reader, end + (isSigned ? 2 : 1), 'a number has no digit in its exponent')
  }
  reader.at = end
  return end > integerEnd
}

function skipDigits(reader: Reader, start: number, whenNone: string): number {
  let at = start
  while (isDigit(reader.text.charCodeAt(at))) at += 1
  if (at === start) fail(reader, whenNone)
  return at
}

const isDigit = (code: number) => code >= ZERO && code <= NINE

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

/** Refuses the text for what is wrong at this position. */
export function fail(reader: Reader, what: string): never {
  throw new JsonFault(
    `The body is not valid JSON: ${what}, at character ${reader.at}. Send it as RFC 8259 defines it.`,
  )
}
