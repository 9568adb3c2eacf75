import { createDigest } from '../src/core/digest.ts'
import { toCanonicalJson } from '../src/core/fingerprint/canonical-json.ts'
import { toInstant } from '../src/core/fingerprint/date-time.ts'
/**
 * Measures how time grows with hostile input: `node bench/linear-time.ts`, about two minutes.
 *
 * A parser that takes linear time needs about 4 times as long for 4 times as much, a quadratic one
 * 16 times. The time is measured at n, 4n and 16n, in turns, so that all meet the same noise, and
 * the quickest run counts: noise only ever adds. One of the two ratios may be more than 4 where the
 * engine begins to collect garbage or takes more stack; where both are more than 8, that is marked.
 */
import { findDifferences, markPlaces } from '../src/core/fingerprint/differences.ts'
import { fingerprint, readBody, toComparedRequest } from '../src/core/fingerprint/fingerprint.ts'
import { toCanonicalMultipart } from '../src/core/fingerprint/multipart.ts'
import { toCanonicalPairs } from '../src/core/fingerprint/pairs.ts'
import { createPointerTree } from '../src/core/fingerprint/pointer-tree.ts'
import { findValue } from '../src/core/json/spans.ts'
import { parseKey } from '../src/core/request/key.ts'
import { readPreference } from '../src/core/request/prefer.ts'
import { undoContentEncoding } from '../src/core/wire/decompress.ts'
import { parseMediaType } from '../src/core/wire/media-type.ts'

const FACTOR = 4
/** In the middle between linear and quadratic, as factors go: a busy machine is far from it. */
const LIMIT = 8
/** 16 times as much is what Workers take of all header fields together. */
const HEADER_BYTES = 8 * 1024
const BODY_BYTES = 128 * 1024
/** At least so long is a run of the smallest input, by repetition. */
const RUN_MS = 4
/** What takes longer for 4n, and grows too fast, is not measured at 16n. */
const LONG_MS = 500
const ROUNDS = 7

const encoder = new TextEncoder()
const digest = createDigest()
const pointers = createPointerTree(['/a/0/a', '/b'], ['/d'])

type Work = (input: string) => unknown

interface Case {
  readonly parser: string
  readonly input: string
  readonly bytes: number
  /** Makes an input of about so many characters. */
  readonly create: (bytes: number) => string
  readonly work: Work
}

/** As many of a text as fit. */
const fill = (text: string, bytes: number) => text.repeat(Math.floor(bytes / text.length))

/** As many as fit, each made from its number. */
function list(bytes: number, item: (index: number) => string): string {
  const count = Math.floor(bytes / item(100_000).length)
  return Array.from({ length: count }, (_, index) => item(index)).join('')
}

function casesOf(
  parser: string,
  bytes: number,
  work: Work,
  inputs: Readonly<Record<string, (bytes: number) => string>>,
): Case[] {
  return Object.entries(inputs).map(([input, create]) => ({ parser, input, bytes, create, work }))
}

const keys = casesOf('key', HEADER_BYTES, parseKey, {
  'blanks in a bare key': (bytes) => `a${' '.repeat(bytes)}b`,
  'blanks before the key': (bytes) => `${' '.repeat(bytes)}b`,
  'blanks and tabs in turns': (bytes) => `a${fill(' \t', bytes)}b`,
  'blanks in a String': (bytes) => `"${' '.repeat(bytes)}`,
  'blanks behind a String': (bytes) => `"a"${' '.repeat(bytes)}b`,
  'words and blanks': (bytes) => fill('a    ', bytes),
  'one plain String': (bytes) => `"${'a'.repeat(bytes)}"`,
  'escapes in a String': (bytes) => `"${fill(String.raw`\"`, bytes)}"`,
  commas: (bytes) => ','.repeat(bytes),
})

const json = casesOf(
  'JSON',
  BODY_BYTES,
  (input) => toCanonicalJson(encoder.encode(input), pointers),
  {
    'arrays, not closed': (bytes) => '['.repeat(bytes),
    'arrays nested to the limit': (bytes) =>
      `[${fill(`${'['.repeat(999)}${']'.repeat(999)},`, bytes)}0]`,
    'objects nested to the limit': (bytes) =>
      `[${fill(`${'{"a":'.repeat(999)}1${'}'.repeat(999)},`, bytes)}0]`,
    'a long string at the limit of nesting': (bytes) =>
      `${'["",'.repeat(1000)}"${'a'.repeat(bytes)}"${']'.repeat(1000)}`,
    'escapes in one string': (bytes) => `"${fill(String.raw`\u0041\n`, bytes)}"`,
    'strings of one escape': (bytes) => `[${fill(String.raw`"\n",`, bytes)}0]`,
    'members, descending': (bytes) =>
      `{${list(bytes, (index) => `"${9_999_999 - index}":1,`)}"0":0}`,
    'members of one name': (bytes) => `{${fill('"a":1,', bytes)}"a":1}`,
    'members with a long common prefix': (bytes) =>
      `{${list(bytes, (index) => `"${'p'.repeat(500)}${9_999_999 - index}":1,`)}"0":0}`,
    'digits of one number': (bytes) => `1.${'7'.repeat(bytes)}e9`,
    'zeros in one number': (bytes) => `0.${'0'.repeat(bytes)}1`,
    'zeros in an exponent': (bytes) => `1e${'0'.repeat(bytes)}1`,
    blanks: (bytes) => `[${' \n\t\r'.repeat(bytes / 4)}`,
  },
)

const pairInputs = {
  'equal names': (bytes: number) => fill('a=1&', bytes),
  'names, descending': (bytes: number) => list(bytes, (index) => `${9_999_999 - index}=1&`),
  'names with a long common prefix': (bytes: number) =>
    list(bytes, (index) => `${'p'.repeat(500)}${9_999_999 - index}=1&`),
  ampersands: (bytes: number) => '&'.repeat(bytes),
  'equals signs': (bytes: number) => '='.repeat(bytes),
  'percent signs': (bytes: number) => '%'.repeat(bytes),
  'encoded bytes': (bytes: number) => fill('%F0', bytes),
  'pluses in one value': (bytes: number) => `a=${'+'.repeat(bytes)}`,
}
const forms = casesOf(
  'form',
  BODY_BYTES,
  (input) => toCanonicalPairs(encoder.encode(input), pointers),
  pairInputs,
)

async function printQuery(search: string) {
  const rules = { ignore: [], dates: [], headers: [], query: true }
  const head = { method: 'POST', path: '/', search: `?${search}`, headers: new Headers() }
  const read = await readBody(new Uint8Array(), head.headers, rules, 0)
  if (!read.ok) throw new Error('An empty body is read.')
  return fingerprint(toComparedRequest(head, read.value, rules), digest)
}
const queries = casesOf('query', HEADER_BYTES, printQuery, pairInputs)

/** As a key in the body is looked for, where every name is one that could be it. */
const keysInBody = casesOf('key in JSON', BODY_BYTES, (input) => findValue(input, ['a', 'key']), {
  'members of one name': (bytes) => `{${fill('"a":{"key":1},', bytes)}"a":0}`,
  'members of another name': (bytes) => `{"a":{${fill('"keys":1,', bytes)}"key":0}}`,
  'escapes in one name': (bytes) => `{"${fill(String.raw`\u0061`, bytes)}":1}`,
  'nested to the limit': (bytes) => `[${fill(`${'['.repeat(900)}${']'.repeat(900)},`, bytes)}0]`,
  blanks: (bytes) => `{"a"${' '.repeat(bytes)}:1}`,
})

const rules = { ignore: ['/0'], dates: ['/1'], headers: [], query: true }

async function toCompared(text: string, type: string) {
  const headers = new Headers({ 'Content-Type': type })
  const read = await readBody(encoder.encode(text), headers, rules, text.length)
  if (!read.ok) throw new Error('The body must be read.')
  return toComparedRequest({ method: 'POST', path: '/', search: '', headers }, read.value, rules)
}

/** A body after an empty one, and the other way round. */
function differ(type: string, empty: string): Work {
  return async (input) => {
    const one = await toCompared(empty, type)
    const other = await toCompared(input, type)
    findDifferences(markPlaces(one), other, digest, 'key')
    findDifferences(markPlaces(other), one, digest, 'key')
  }
}

/** 16 times as much is what is looked into; what is longer is one place. */
const COMPARED_BYTES = 4 * 1024
const LONG_NAME = 'n'.repeat(3_900)

const differences = [
  ...casesOf('differences', COMPARED_BYTES, differ('application/json', '{}'), {
    members: (bytes) => `{${list(bytes, (index) => `"${index}":1,`)}"a":0}`,
    elements: (bytes) => `[${fill('1,', bytes)}0]`,
    'branches of branches': (bytes) => `[${fill('[[1,1],[1,1]],', bytes)}0]`,
    'escapes in one name': (bytes) => `{"${fill(String.raw`\u0001`, bytes)}":1}`,
  }),
  ...casesOf(
    'differences',
    COMPARED_BYTES,
    differ('application/json', `{"${LONG_NAME}":{"a":1}}`),
    { 'elements under a long name': (bytes) => `{"${LONG_NAME}":[${fill('1,', bytes)}0]}` },
  ),
  ...casesOf(
    'differences',
    COMPARED_BYTES,
    differ('application/x-www-form-urlencoded', 'a=1'),
    pairInputs,
  ),
]

const BOUNDARY = 'b'.repeat(70)
const multipartType = {
  essence: 'multipart/form-data',
  parameters: [['boundary', BOUNDARY]] as const,
}
const multipart = casesOf(
  'multipart',
  BODY_BYTES,
  (input) => toCanonicalMultipart(encoder.encode(input), multipartType),
  {
    'lines nearly the boundary': (bytes) => fill(`\r\n--${BOUNDARY.slice(1)}`, bytes),
    'letters of the boundary': (bytes) => 'b'.repeat(bytes),
    'hyphens and line ends': (bytes) => fill('\r\n--', bytes),
    'line ends': (bytes) => `--${BOUNDARY}${'\r\n'.repeat(bytes / 2)}`,
    'empty parts': (bytes) => fill(`--${BOUNDARY}\r\n`, bytes),
    'blanks behind a delimiter': (bytes) => `--${BOUNDARY}${' '.repeat(bytes)}x`,
    'blanks behind many delimiters': (bytes) => fill(`--${BOUNDARY}${' '.repeat(500)}\r\n`, bytes),
    'header lines of one name': (bytes) =>
      `--${BOUNDARY}\r\n${fill('a: 1\r\n', bytes)}\r\n\r\n--${BOUNDARY}--`,
    'one header line, folded': (bytes) =>
      `--${BOUNDARY}\r\na: ${fill('\r\n ', bytes)}\r\n\r\n\r\n--${BOUNDARY}--`,
    'blanks before a colon': (bytes) =>
      `--${BOUNDARY}\r\na${' '.repeat(bytes)}\r\n\r\n\r\n--${BOUNDARY}--`,
    'blanks around a value': (bytes) =>
      `--${BOUNDARY}\r\na:${' '.repeat(bytes)}b${' '.repeat(bytes)}c\r\n\r\n\r\n--${BOUNDARY}--`,
    'a long name without a colon': (bytes) =>
      `--${BOUNDARY}\r\n${'a'.repeat(bytes)}\r\n\r\n\r\n--${BOUNDARY}--`,
  },
)

const types = casesOf('content type', HEADER_BYTES, parseMediaType, {
  blanks: (bytes) => `a/b${' '.repeat(bytes)}x`,
  'blanks and semicolons': (bytes) => `a/b${fill(' ; ', bytes)}x`,
  'blanks behind a semicolon': (bytes) => `a/b;${' '.repeat(bytes)}x`,
  'a long type without a slash': (bytes) => 'a'.repeat(bytes),
  'parameters of one name': (bytes) => `a/b${fill(';a=1', bytes)}`,
  'parameters, descending': (bytes) => `a/b${list(bytes, (index) => `;${9_999_999 - index}=1`)}`,
  'a quoted value, not closed': (bytes) => `a/b;c="${'a'.repeat(bytes)}`,
  'escapes in a quoted value': (bytes) => `a/b;c="${fill(String.raw`\"`, bytes)}"`,
  'escapes, not closed': (bytes) => `a/b;c="${fill(String.raw`\"`, bytes)}`,
})

const others = [
  ...casesOf(
    'content encoding',
    HEADER_BYTES,
    (input) => undoContentEncoding(new Uint8Array(), input, 1),
    { commas: (bytes) => ','.repeat(bytes), blanks: (bytes) => `a${' '.repeat(bytes)}b` },
  ),
  ...casesOf('Prefer', HEADER_BYTES, (input) => readPreference(new Headers({ prefer: input })), {
    'blanks behind a comma': (bytes) => `,${' '.repeat(bytes)}x`,
    'blanks behind wait': (bytes) => `wait${' '.repeat(bytes)}x`,
    'commas and blanks': (bytes) => fill(',  ', bytes),
    'waits without an end': (bytes) => fill(',wait=1 ', bytes),
  }),
  ...casesOf('date-time', BODY_BYTES, toInstant, {
    'zeros in a fraction': (bytes) => `2026-01-02T03:04:05.${'0'.repeat(bytes)}1Z`,
    'zeros without a zone': (bytes) => `2026-01-02T03:04:05.${'0'.repeat(bytes)}`,
  }),
]

/** The engine joins texts at their first use only, which is not what is measured. */
const flatten = (text: string) => Buffer.from(text, 'latin1').toString('latin1')

async function time(work: Work, input: string, repeats: number): Promise<number> {
  const start = performance.now()
  for (let run = 0; run < repeats; run += 1) await work(input)
  return (performance.now() - start) / repeats
}

/** The quickest run of each input, the inputs measured in turns. */
async function timeAll(work: Work, inputs: readonly string[], repeats: number): Promise<number[]> {
  const quickest = inputs.map(() => Infinity)
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, input] of inputs.entries()) {
      const ms = await time(work, input, Math.ceil(repeats / FACTOR ** index))
      quickest[index] = Math.min(quickest[index] ?? Infinity, ms)
    }
  }
  return quickest
}

async function measure({ parser, input, bytes, create, work }: Case) {
  const [small, large, largest] = [1, FACTOR, FACTOR ** 2].map((factor) =>
    flatten(create(factor * bytes)),
  ) as [string, string, string]
  const onceMs = await time(work, small, 2)
  const largeMs = await time(work, large, 1)
  const isHopeless = largeMs > LONG_MS && largeMs > LIMIT * onceMs
  const inputs = isHopeless ? [small, large] : [small, large, largest]
  const times = await timeAll(work, inputs, Math.max(1, Math.ceil(RUN_MS / onceMs)))
  const ratios = times.slice(1).map((ms, index) => ms / (times[index] ?? Number.NaN))
  const row: Record<string, string> = { parser, input, 'n KiB': String(bytes / 1024) }
  row['ms for n, 4n, 16n'] = times.map((ms) => ms.toFixed(3)).join(', ')
  row['ratios'] = ratios.map((ratio) => ratio.toFixed(1)).join(', ')
  row['verdict'] = Math.min(...ratios) > LIMIT ? 'MORE THAN LINEAR' : ''
  return row
}

const rows = []
const all = [keys, keysInBody, json, forms, queries, multipart, differences, types, others].flat()
for (const one of all) {
  rows.push(await measure(one))
}
console.table(rows)
