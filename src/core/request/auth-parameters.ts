/** A parameter of a credential, its value without quotes. */
export interface AuthParameter {
  /** Lower-case and without `_`, `-` and `.`: `keyId`, `key_id` and `Key-Id` are one name. */
  readonly name: string
  readonly value: string
}

/** What stands between two parameters: only blanks besides it. */
type Separator = ',' | '&' | ';' | ',;'

const patternOf = (separator: Separator) =>
  new RegExp(
    String.raw`[\s${separator}]*([\w!#$%'*+.^|~-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s"${separator}]*)(?=[\s${separator}]|$)`,
    'sy',
  )

const PATTERNS = {
  ',': patternOf(','),
  '&': patternOf('&'),
  ';': patternOf(';'),
  ',;': patternOf(',;'),
} as const satisfies Record<Separator, RegExp>

/**
 * Reads parameters (RFC 9110 §11.2), also separated by `;` or `&`. A value may contain the separators
 * that its list does not use (`SignedHeaders=host;x-amz-date`). @returns `null` if it is no such list.
 */
export function parseAuthParameters(text: string): readonly AuthParameter[] | null {
  return parseWith(text, separatorOf(text))
}

/**
 * Reads the parameters of all members of a `Signature-Input` field (RFC 9421 §4.1), without the
 * components in brackets and their parameters. @returns `null` if it is not valid.
 */
export function parseSignatureInput(text: string): readonly AuthParameter[] | null {
  const pieces = text.match(/"(?:[^"\\]|\\.)*"?|\((?:[^()"]|"(?:[^"\\]|\\.)*"?)*\)?|[^"(]+/gs) ?? []
  return parseWith(pieces.filter((piece) => !piece.startsWith('(')).join(''), ',;')
}

function separatorOf(text: string): Separator {
  // An unclosed quote goes on to the end, so that this takes linear time.
  const bare = text.replaceAll(/"(?:[^"\\]|\\.)*"?/gs, '')
  return bare.includes(',') ? ',' : bare.includes('&') ? '&' : ';'
}

function parseWith(text: string, separator: Separator): readonly AuthParameter[] | null {
  const pattern = PATTERNS[separator]
  const parameters: AuthParameter[] = []
  const end = endOf(text, separator)
  pattern.lastIndex = 0
  while (pattern.lastIndex < end) {
    const found = pattern.exec(text)
    if (found === null) return null
    const [, name = '', value = ''] = found
    parameters.push({ name: toName(name), value: unquote(value) })
  }
  return parameters.length === 0 ? null : parameters
}

/** Where the last parameter ends: what stands behind it separates nothing. */
function endOf(text: string, separator: Separator): number {
  let end = text.length
  while (end > 0 && ` \t${separator}`.includes(text.charAt(end - 1))) end -= 1
  return end
}

const toName = (name: string) => name.toLowerCase().replaceAll(/[._-]/g, '')

function unquote(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : value
}
