/** Formats of answers that the SQL API knows. */
const FORMATS = ['JSON', 'JSONEachRow', 'TabSeparated'] as const
export type Format = (typeof FORMATS)[number]

/** A statement that the cloud would take. */
export interface Statement {
  /** Without its `FORMAT` clause. */
  readonly sql: string
  readonly format: Format
}

type Parsed =
  | { readonly ok: true; readonly statement: Statement }
  | { readonly ok: false; readonly reason: string }

const MAX_LENGTH = 10_000

/**
 * Reads a statement, and refuses much of what ClickHouse takes and the cloud does not: more than
 * one table, functions outside of its reference, groups by anything but names. What it refuses
 * cannot reach a file or the network either.
 */
export function parseStatement(text: string): Parsed {
  const masked = mask(text)
  const refusal = refusalOf(masked, text.length)
  if (refusal !== null) return { ok: false, reason: refusal }
  const match = FORMAT_CLAUSE.exec(masked)
  if (match === null) return ok(text.slice(0, endOf(masked)), 'JSON')
  const format = FORMATS.find((known) => known.toLowerCase() === match[1]?.toLowerCase())
  if (format === undefined) return { ok: false, reason: `unsupported format: ${match[1]}` }
  return ok(text.slice(0, match.index), format)
}

const ok = (sql: string, format: Format): Parsed => ({ ok: true, statement: { sql, format } })

const FORMAT_CLAUSE = /\bFORMAT\s+(\w+)\s*;?\s*$/i

const endOf = (masked: string) => masked.replace(/;?\s*$/, '').length

/** The text with every literal, quoted name and comment blanked out, each letter in its place. */
function mask(text: string): string {
  return text.replaceAll(OPAQUE, (part) =>
    part.startsWith("'") ? `'${' '.repeat(part.length - 2)}'` : ' '.repeat(part.length),
  )
}

const OPAQUE = /'(?:[^'\\]|\\[^]|'')*'|"(?:[^"\\]|\\[^])*"|`[^`]*`|--[^\n]*|\/\*[^]*?\*\//g

function refusalOf(masked: string, length: number): string | null {
  if (length > MAX_LENGTH) return `SQL was excessively long, exceeded maximum length: ${MAX_LENGTH}`
  if (!/^\s*(?:SELECT|SHOW\s+TABLES)\b/i.test(masked)) return 'only SELECT is supported'
  if (/;\s*\S/.test(masked)) return 'only one statement is supported'
  const word = UNSUPPORTED.exec(masked)
  if (word !== null) return `unsupported: ${word[0].toUpperCase()}`
  return functionRefusal(masked) ?? groupRefusal(masked) ?? aggregateRefusal(masked)
}

const UNSUPPORTED =
  /\b(?:JOIN|UNION|INTERSECT|EXCEPT|CASE|WITH|OVER|SETTINGS|OUTFILE|PREWHERE|QUALIFY|SAMPLE|FINAL)\b/i

function functionRefusal(masked: string): string | null {
  for (const [, name = ''] of masked.matchAll(/\b([A-Za-z_]\w*)\s*\(/g)) {
    const word = name.toLowerCase()
    if (!FUNCTIONS.has(word) && !WORDS.has(word)) return `unknown function call: ${name}`
  }
  return null
}

function groupRefusal(masked: string): string | null {
  for (const { index } of masked.matchAll(/\bGROUP\s+BY\b/gi)) {
    const clause = masked.slice(index)
    if (!NAMES_ONLY.test(clause)) {
      return `in the GROUP BY clause you may only provide column names: ${clause.slice(0, 80).trim()}`
    }
  }
  return null
}

const NAMES_ONLY =
  /^GROUP\s+BY\s+[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*\s*(?:$|[;)]|\b(?:HAVING|ORDER|LIMIT|OFFSET|FORMAT)\b)/i

function aggregateRefusal(masked: string): string | null {
  const match = /\b(min|max|sum|avg)\s*\(\s*(?:blob\d+|index1|dataset)\s*\)/i.exec(masked)
  return match && `cannot use the String type as argument 1 in ${match[1]?.toLowerCase()}()`
}

/** Words that may stand before a parenthesis. */
const WORDS: ReadonlySet<string> = new Set(
  'and as between by distinct extract from having in interval like not on or select where'.split(
    ' ',
  ),
)

/** The functions of the SQL reference of Workers Analytics Engine, in lower case. */
const FUNCTIONS: ReadonlySet<string> = new Set(
  [
    'count sum avg min max countIf sumIf avgIf argMax argMin first_value last_value',
    'quantileExactWeighted quantileWeighted topK topKWeighted',
    'if toUInt8 toUInt32 intDiv log ln pow round floor ceil bin hex',
    'now today toDateTime toUnixTimestamp formatDateTime toYear toMonth toDayOfMonth toDayOfWeek',
    'toHour toMinute toSecond toYYYYMM toStartOfInterval toStartOfYear toStartOfMonth toStartOfWeek',
    'toStartOfDay toStartOfHour toStartOfFifteenMinutes toStartOfTenMinutes toStartOfFiveMinutes',
    'toStartOfMinute length empty lower lowerUTF8 toLower upper upperUTF8 toUpper startsWith',
    'endsWith position substring format extract',
    'bitAnd bitCount bitHammingDistance bitNot bitOr bitRotateLeft bitRotateRight bitShiftLeft',
    'bitShiftRight bitTest bitXor',
  ]
    .join(' ')
    .toLowerCase()
    .split(' '),
)
