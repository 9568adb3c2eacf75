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

/** As deep as the strict parser goes. */
const MAX_DEPTH = 1000

/**
 * What is found where there is no JSON. Nothing can be read from there, so one look at the end of a
 * value tells whether all of it was well-formed.
 */
const NOWHERE = Infinity

const SPACE = /[ \t\n\r]*/y
const COLON = /[ \t\n\r]*:[ \t\n\r]*/y
/** Piecewise: a pattern for whole strings would fill the stack of the engine's matcher. */
const STRING_PIECE = /[ !#-[\]-\uffff]+|\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4})/y
const OTHER_SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[Ee][-+]?\d+)?|true|false|null/y

/** Where the text's value stands, without the white space around it. */
export function rootOf(text: string): Span {
  const start = skip(SPACE, text, 0)
  let end = text.length
  while (end > start && ' \t\n\r'.includes(text.charAt(end - 1))) end -= 1
  return { start, end }
}

/**
 * Lists what an object or array holds, in the order of the text; a name that stands twice is there
 * twice.
 *
 * Empty for a scalar, and where the span does not hold exactly one JSON value.
 *
 * @param isWanted Told of each token; what it refuses is not listed.
 */
export function childrenOf(
  text: string,
  span: Span,
  isWanted: (token: string) => boolean = () => true,
): readonly Child[] {
  return collectChildren(text, span, isWanted)
}

/**
 * Finds the value that a JSON pointer's tokens lead to; of members of one name the last, as
 * `JSON.parse` does.
 *
 * @returns `null` where there is none, or where the text is not JSON (RFC 8259), or is nested deeper
 *   than 1000.
 */
export function findValue(text: string, tokens: readonly string[]): Span | null {
  const root = rootOf(text)
  let span: Span | undefined = spanOf(text, root.start).end === root.end ? root : undefined
  for (const token of tokens) {
    if (span === undefined) break
    span = collectChildren(text, span, (other) => other === token).at(-1)?.span
  }
  return span ?? null
}

/** Lists only the wanted ones: an array can hold millions. */
function collectChildren(
  text: string,
  { start, end }: Span,
  isWanted: (token: string) => boolean,
): Child[] {
  const children: Child[] = []
  const closer = closerOf(text, start)
  let at = skip(SPACE, text, start + 1)
  if (closer === undefined || text[at] === closer) return children
  for (let index = 0; ; index += 1) {
    const span = spanOf(text, skipName(text, at, closer))
    if (span.end === NOWHERE) return []
    const token = closer === '}' ? nameOf(text, at) : String(index)
    if (isWanted(token)) children.push({ token, span })
    at = skip(SPACE, text, span.end)
    if (text[at] !== ',') return text[at] === closer && at + 1 === end ? children : []
    at = skip(SPACE, text, at + 1)
  }
}

/** The value that begins here. No recursion: a text can be nested deeper than the stack. */
function spanOf(text: string, start: number): Span {
  const closers: string[] = []
  let at = start
  for (;;) {
    const opened = closerOf(text, at)
    if (opened === undefined) {
      at = skipScalar(text, at)
    } else {
      if (closers.push(opened) > MAX_DEPTH) return { start, end: NOWHERE }
      at = skip(SPACE, text, at + 1)
      if (text[at] !== opened) {
        at = skipName(text, at, opened)
        continue
      }
    }
    at = skipClosers(text, at, closers)
    const closer = closers.at(-1)
    if (closer === undefined) return { start, end: at }
    if (text[at] !== ',') return { start, end: NOWHERE }
    at = skipName(text, skip(SPACE, text, at + 1), closer)
  }
}

/** Leaves the objects and arrays that end here; moves up to what follows in the one around. */
function skipClosers(text: string, start: number, closers: string[]): number {
  let at = start
  while (closers.length > 0) {
    at = skip(SPACE, text, at)
    if (text[at] !== closers.at(-1)) break
    closers.pop()
    at += 1
  }
  return at
}

function closerOf(text: string, at: number): string | undefined {
  if (text[at] === '{') return '}'
  return text[at] === '[' ? ']' : undefined
}

/** From a member's name to its value; an array's element is there already. */
function skipName(text: string, at: number, closer: string): number {
  return closer === '}' ? skip(COLON, text, skipString(text, at)) : at
}

function nameOf(text: string, at: number): string {
  return JSON.parse(text.slice(at, skipString(text, at))) as string
}

function skipScalar(text: string, at: number): number {
  return text[at] === '"' ? skipString(text, at) : skip(OTHER_SCALAR, text, at)
}

function skipString(text: string, start: number): number {
  if (text[start] !== '"') return NOWHERE
  let at = start + 1
  while (text[at] !== '"') {
    at = skip(STRING_PIECE, text, at)
    if (at === NOWHERE) return at
  }
  return at + 1
}

/** Moves behind what the pattern matches here. */
function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : NOWHERE
}
