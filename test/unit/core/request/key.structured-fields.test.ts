import { describe, expect, it } from 'vitest'

import { parseKey } from '../../../../src/core/request/key.ts'
import vectors from '../../../fixtures/structured-fields.json'

/**
 * The vectors of the HTTP working group for RFC 9651, sorted by what section 3 of the design says:
 * a value in double quotes is a String, anything else a bare value, taken as it stands. So a number
 * or a date is a key like any other, while a list, a parameter or a display string shows itself
 * by a comma, a space or a double quote, and is none.
 */
const { families, strings, bare, padded, refused } = vectors

const accepted = (value: string) => ({ ok: true, value })
const isRefused = { ok: false, error: expect.any(String) }

/** What no bare value may hold. */
const isNeverBare = (char: string) => char <= ' ' || char > '~' || char === '"' || char === ','

interface Vector {
  readonly char: string
  readonly raw: string
}

/** Each vector of a family: the same field around one character. */
const vectorsOf = ({ before, after }: { before: string; after: string }, chars: string): Vector[] =>
  Array.from(chars, (char) => ({ char, raw: before + char + after }))

/** Results beside their vectors, so that a failure names the vector. */
const inEach = (all: readonly Vector[], toResult: (vector: Vector) => unknown) =>
  all.map((vector) => ({ ...vector, result: toResult(vector) }))

const parsed = (all: readonly Vector[]) => inEach(all, ({ raw }) => parseKey(raw))

const isKey = (value: string | null) => value !== null && value.length >= 1 && value.length <= 255

describe('parseKey, by the vectors of RFC 9651', () => {
  it('has all of them', () => {
    const counts = Object.values(families).map(
      ({ valid, invalid }) => valid.length + invalid.length,
    )
    // Two of the token family are a parameter and a leading space.
    expect(counts).toEqual([128, 128, 127, 127])
  })

  it.each(strings.filter(({ expected }) => isKey(expected)))(
    'reads $raw as its String',
    ({ raw, expected }) => {
      expect(parseKey(raw)).toEqual(accepted(expected ?? ''))
    },
  )

  it.each(strings.filter(({ expected }) => !isKey(expected)))('refuses $raw', ({ raw }) => {
    expect(parseKey(raw)).toEqual(isRefused)
  })

  it('reads every character that a String may hold, and refuses every other', () => {
    const { inString } = families
    const valid = vectorsOf(inString, inString.valid)
    expect(parsed(valid)).toEqual(inEach(valid, ({ char }) => accepted(` ${char} `)))
    const invalid = vectorsOf(inString, inString.invalid)
    expect(parsed(invalid)).toEqual(inEach(invalid, () => isRefused))
  })

  it('reads every escape that a String may hold, and refuses every other', () => {
    const { afterBackslash } = families
    const valid = vectorsOf(afterBackslash, afterBackslash.valid)
    expect(parsed(valid)).toEqual(inEach(valid, ({ char }) => accepted(char)))
    const invalid = vectorsOf(afterBackslash, afterBackslash.invalid)
    expect(parsed(invalid)).toEqual(inEach(invalid, () => isRefused))
  })

  it.each(['inToken', 'startsToken'] as const)('takes every token as it stands: %s', (name) => {
    const valid = vectorsOf(families[name], families[name].valid)
    expect(parsed(valid)).toEqual(inEach(valid, ({ raw }) => accepted(raw)))
  })

  it.each(['inToken', 'startsToken'] as const)(
    'takes what is no token for a bare value, unless it holds what none may: %s',
    (name) => {
      const invalid = vectorsOf(families[name], families[name].invalid)
      const expected = inEach(invalid, ({ char, raw }) => {
        // A tab at the edge of a field's value is not a part of it (RFC 9110 §5.6.3).
        const trimmed = raw.replace(/^\t/, '')
        return trimmed === raw && isNeverBare(char) ? isRefused : accepted(trimmed)
      })
      expect(parsed(invalid)).toEqual(expected)
    },
  )

  it.each(bare)('takes %s as it stands, whatever it would mean elsewhere', (raw) => {
    expect(parseKey(raw)).toEqual(accepted(raw))
  })

  it.each(padded)('takes the blanks off %j', (raw) => {
    expect(parseKey(raw)).toEqual(accepted(raw.trim()))
  })

  it.each(refused)('refuses %j: a list, a parameter, or no key at all', (raw) => {
    expect(parseKey(raw)).toEqual(isRefused)
  })

  it.each([
    { name: 'a String of 255 characters', raw: `"${'='.repeat(255)}"`, expected: '='.repeat(255) },
    {
      name: 'a String of 255 escapes',
      raw: `"${String.raw`\"`.repeat(255)}"`,
      expected: '"'.repeat(255),
    },
    { name: 'a token of 255 characters', raw: 'a'.repeat(255), expected: 'a'.repeat(255) },
  ])('takes $name', ({ raw, expected }) => {
    expect(parseKey(raw)).toEqual(accepted(expected))
  })

  // Valid in RFC 9651, which asks for 1024 characters in a String and 512 in a Token.
  it.each([
    { name: 'the large String', raw: `"${'='.repeat(1024)}"` },
    { name: 'the large String of escapes', raw: `"${String.raw`\"`.repeat(1024)}"` },
    { name: 'the large token', raw: 'a'.repeat(512) },
  ])('refuses $name, for its length', ({ raw }) => {
    expect(parseKey(raw)).toEqual({ ok: false, error: expect.stringContaining('at most 255') })
  })

  it.each([
    { name: 'a parameter', raw: '"a";b' },
    { name: 'a parameter with a value', raw: '"a";b=1' },
    { name: 'a parameter that is a String', raw: '"a";b="c"' },
    { name: 'a parameter of a token that is a String', raw: 'a;b="c"' },
    { name: 'a parameter behind a space', raw: '"a"; b' },
    { name: 'nothing behind a semicolon', raw: '"a";' },
    { name: 'a list of Strings', raw: '"a","b"' },
    { name: 'a String and a token', raw: '"a", b' },
    { name: 'a token and a String', raw: 'a, "b"' },
    { name: 'a comma at the end', raw: '"a",' },
    { name: 'an inner list', raw: '("a")' },
    { name: 'an inner list of two', raw: '("a" "b")' },
    { name: 'a dictionary', raw: 'k="a"' },
    { name: 'a display string', raw: '%"a"' },
    { name: 'two Strings in a row', raw: '"a""b"' },
    { name: 'a String with a token on it', raw: '"a"b' },
  ])('refuses $name', ({ raw }) => {
    expect(parseKey(raw)).toEqual(isRefused)
  })
})
