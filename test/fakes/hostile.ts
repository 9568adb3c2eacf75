import fc from 'fast-check'

import { anyText } from './any-text.ts'

/** Stands in hostile input again and again; no message and no answer may repeat it. */
export const SECRET = 'sk_live_s3cr3t'

/** What parsers of our formats look for, and what breaks them. */
const FRAGMENTS: readonly string[] = [
  [SECRET],
  ['"', '\\', '\\"', "'", ',', ';', ':', '=', '&', '+', '%', '%2', '%00', '%ff', '%C3%28', '/'],
  ['{', '}', '[', ']', '[[[[', '{"":', '{"a":1,"a":1}', '"__proto__":1', '\\u', '\\ud800'],
  ['-', '-0', '1e400', '1e99999999999999999', '0.', '00', 'NaN', 'true', 'nul', '2024-02-30'],
  ['\r\n', '\n', '\r', '\r\n\r\n', '\r\n ', '--', '--b', '--b--', '\r\n--b', '\r\n--b--\r\n'],
  ['\0', '\t', ' ', '   ', '\u007F', '\u00A0', '\u00FF', '\uFEFF', '\uD800', '\u{1F600}', 'é'],
].flat()

/** Text that is nearly what a grammar asks for: cut into and added to in a few places. */
export function nearly(valid: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    dropped: fc.nat(3),
    added: fc.oneof(fc.constantFrom('', ...FRAGMENTS), anyText({ maxLength: 4 })),
  })
  return fc.tuple(valid, fc.array(edit, { maxLength: 3 })).map(([text, edits]) =>
    edits.reduce((edited, { at, dropped, added }) => {
      const index = Math.floor(at * edited.length)
      return edited.slice(0, index) + added + edited.slice(index + dropped)
    }, text),
  )
}

const soup = fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 12 }).map((all) => all.join(''))
const word = fc.oneof(fc.constantFrom('a', 'b', '/', SECRET), fc.string({ maxLength: 6 }))

const json = fc.oneof(
  fc.constantFrom(
    String.raw`["\ud800"]`,
    String.raw`{"\udc00a":1}`,
    '{"a":1,"a":1}',
    '{"__proto__":{"a":1}}',
    '[1e99999999999999999,-0.0,1E+5]',
    '"2016-12-31T23:59:60Z"',
  ),
  fc.json({ maxDepth: 4, stringUnit: 'binary' }),
  fc.json({ maxDepth: 2 }).map((value) => `{"a":${value},"d":"2026-01-02T03:04:05Z","b":[1.0,0]}`),
  fc.integer({ min: 990, max: 1010 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
)

/** Pairs as a form or a query has them. */
export const pairs: fc.Arbitrary<string> = nearly(
  fc
    .array(fc.tuple(word, word), { maxLength: 6 })
    .map((all) =>
      all.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`),
    )
    .map((all) => all.join('&')),
)

/** A multipart body whose boundary is `b`. */
const multipart = fc
  .array(fc.tuple(word, fc.oneof(word, soup)), { maxLength: 4 })
  .map((parts) => [
    ...parts.map(
      ([name, body]) =>
        `--b\r\nContent-Disposition: form-data; name="${name}"\r\nX-A:\r\n b\r\n\r\n${body}\r\n`,
    ),
    '--b--\r\n',
  ])
  .map((parts) => parts.join(''))

/** `{"a":1}`, compressed. */
const COMPRESSED = ['H4sIAAAAAAAAA6tWSlSyMqwFAK+sG1YHAAAA', 'eJyrVkpUsjKsBQAIKgIJ']

const toBytes = (binary: string) => Uint8Array.from(binary, (char) => char.charCodeAt(0) & 0xff)

/** A body, compressed or not, whole or not. */
const body: fc.Arbitrary<Uint8Array<ArrayBuffer>> = fc.oneof(
  fc.uint8Array({ maxLength: 64 }).map((bytes) => new Uint8Array(bytes)),
  fc
    .oneof(nearly(json), pairs, nearly(multipart), soup)
    .map((text) => new Uint8Array(new TextEncoder().encode(text))),
  // Byte by byte, so that what is malformed in UTF-8 comes up too.
  fc.oneof(nearly(json), pairs, nearly(multipart), soup).map(toBytes),
  nearly(fc.constantFrom(...COMPRESSED).map((base64) => atob(base64))).map(toBytes),
)

/** ASCII that may stand in a header field: workerd logs a warning for each that is more. */
function field(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return text.map((value) => value.replaceAll(/[^\t -~]/g, '').trim())
}

/** Values of a header field: valid ones, nearly valid ones and soup. */
export const fieldLike = (...valid: readonly string[]): fc.Arbitrary<string> =>
  field(fc.oneof(fc.constantFrom(...valid), nearly(fc.constantFrom(...valid)), soup))

const contentType: fc.Arbitrary<string> = fieldLike(
  'application/json',
  'application/json; charset=utf-8',
  'application/problem+json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=b',
  'multipart/mixed; boundary="b"; x="\\""',
  'text/plain',
)

export const contentEncoding: fc.Arbitrary<string> = fieldLike(
  'gzip',
  'x-gzip',
  'deflate',
  'br',
  'identity',
  'gzip, deflate',
  'gzip, gzip, gzip, gzip, gzip',
)

/** A key, as a bare value or as an RFC 9651 String. */
export const key: fc.Arbitrary<string> = fieldLike(
  '8e03978e-40d5-43e8-bc93-6894a57f9324',
  '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
  String.raw`"a \"b\" \\ c"`,
  'k'.repeat(255),
  `"${'k'.repeat(256)}"`,
  `"${String.raw`\"`.repeat(255)}"`,
)

const under = (type: string, text: fc.Arbitrary<string>) =>
  nearly(text).map((content) => ({ type, body: new Uint8Array(new TextEncoder().encode(content)) }))

/** A body under its own type, or under any. */
export const payload = fc.oneof(
  fc.record({ type: contentType, body }),
  under('application/json', json),
  under('application/x-www-form-urlencoded', pairs),
  under('multipart/form-data; boundary=b', multipart),
)
