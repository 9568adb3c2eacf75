import {
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
} from './reader.ts'

/** Where a value stands in its text: from `start` up to, but without, `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** A value inside an object or array. */
export interface Child {
  /** The member's name, unescaped, or the array index in decimal. */
  readonly token: string
  readonly span: Span
}

/** Finds where the text's value stands, without the white space around it. */
export function rootOf(text: string): Span {
  const start = text.search(/[^ \t\n\r]|$/)
  let end = text.length
  while (end > start && ' \t\n\r'.includes(text.charAt(end - 1))) end -= 1
  return { start, end }
}

/**
 * Lists the values inside an object or array in the order of the text. A name that stands twice is
 * listed twice.
 *
 * The list is empty for a scalar, and where the span does not hold exactly one JSON value.
 *
 * @param isWanted Called with each token; a value is listed where it returns `true`.
 */
export function childrenOf(
  text: string,
  span: Span,
  isWanted: (token: string) => boolean = () => true,
): readonly Child[] {
  const children: Child[] = []
  // One level more than `findValue`: the limit is for each of the children.
  const reader = { text, at: span.start, depth: -1 }
  const isWhole = unlessFault(() => {
    readChildren(reader, (token) => {
      const start = reader.at
      skipValue(reader)
      // An array can hold millions.
      if (isWanted(token)) children.push({ token, span: { start, end: reader.at } })
    })
    return reader.at === span.end
  })
  return isWhole === true ? children : []
}

/**
 * Finds the value that a JSON pointer's tokens lead to; of members of one name the last, as
 * `JSON.parse` does.
 *
 * @returns `null` where there is none, or where the text is not JSON (RFC 8259), or is nested deeper
 *   than 1000.
 */
export function findValue(text: string, tokens: readonly string[]): Span | null {
  return unlessFault(() => readDocument(text, (reader) => find(reader, tokens, 0)))
}

/** @param index Of the token that is looked for next. */
function find(reader: Reader, tokens: readonly string[], index: number): Span | null {
  const start = reader.at
  let found: Span | null = null
  readChildren(reader, (token) => {
    if (token === tokens[index]) found = find(reader, tokens, index + 1)
    else skipValue(reader)
  })
  return index === tokens.length ? { start, end: reader.at } : found
}

function skipValue(reader: Reader): void {
  readChildren(reader, () => skipValue(reader))
}

/** Moves behind a value. @param readChild Reads the value of each token inside it and moves behind that. */
function readChildren(reader: Reader, readChild: (token: string) => void): void {
  switch (reader.text.charAt(reader.at)) {
    case '{':
      if (!hasFirst(reader, '}')) return
      do readChild(readName(reader))
      while (hasNext(reader, '}'))
      return
    case '[': {
      if (!hasFirst(reader, ']')) return
      let index = 0
      do readChild(String(index++))
      while (hasNext(reader, ']'))
      return
    }
    case '"':
      readText(reader, skipString)
      return
    default:
      skipScalar(reader)
  }
}

function readName(reader: Reader): string {
  const name = readText(reader, skipName)
  skipColon(reader)
  return name
}

function readText(reader: Reader, skip: typeof skipString): string {
  const start = reader.at
  const isEscaped = skip(reader)
  const literal = reader.text.slice(start, reader.at)
  return isEscaped ? unescape(reader, literal) : literal.slice(1, -1)
}

function unlessFault<found>(read: () => found): found | null {
  try {
    return read()
  } catch (error) {
    if (error instanceof JsonFault) return null
    throw error
  }
}
