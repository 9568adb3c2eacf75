import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { MAX_KEY_LENGTH, parseKey } from '../../../src/core/key.ts'

const charIn = (from: number, to: number) =>
  fc.integer({ min: from, max: to }).map((code) => String.fromCharCode(code))

/** RFC 9651 §3.3.3: printable ASCII, the space included. */
const printable = charIn(0x20, 0x7e)
const bareChar = charIn(0x21, 0x7e).filter((char) => char !== '"' && char !== ',')
const keyOf = (unit: fc.Arbitrary<string>) =>
  fc.string({ unit, minLength: 1, maxLength: MAX_KEY_LENGTH })

/** RFC 9651 §4.1.6. */
const toRfc9651String = (key: string) => `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`

/** What RFC 9110 §5.5 lets stand around the value of a field. */
const blank = fc.string({ unit: fc.constantFrom(' ', '\t'), maxLength: 3 })

describe('parseKey', () => {
  it('takes a bare key and its RFC 9651 String for the same key', () => {
    fc.assert(
      fc.property(keyOf(bareChar), blank, blank, (key, before, after) => {
        expect(parseKey(before + key + after)).toEqual({ ok: true, value: key })
        expect(parseKey(before + toRfc9651String(key) + after)).toEqual({ ok: true, value: key })
      }),
    )
  })

  it('takes any printable ASCII in quotes, spaces and commas included', () => {
    fc.assert(
      fc.property(keyOf(printable), (key) => {
        expect(parseKey(toRfc9651String(key))).toEqual({ ok: true, value: key })
      }),
    )
  })

  it('never takes two keys for one', () => {
    fc.assert(
      fc.property(keyOf(printable), keyOf(printable), (one, other) => {
        fc.pre(one !== other)
        expect(parseKey(toRfc9651String(one))).not.toEqual(parseKey(toRfc9651String(other)))
      }),
    )
  })

  it('refuses a character that no key may hold, bare or in quotes', () => {
    const illegal = fc.oneof(charIn(0x00, 0x1f), charIn(0x7f, 0x7f), charIn(0x80, 0xffff))
    fc.assert(
      fc.property(keyOf(bareChar), illegal, fc.nat(), (key, char, at) => {
        const broken = key.slice(0, at % key.length) + char + key.slice(at % key.length)
        // At an edge white space is a blank around the value, not a part of it.
        fc.pre(broken.trim() === broken)
        expect(parseKey(broken)).toMatchObject({ ok: false })
        expect(parseKey(`"${broken}"`)).toMatchObject({ ok: false })
      }),
    )
  })

  it('says which rule is broken without quoting the value', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 30, maxLength: 300 }), (value) => {
        const parsed = parseKey(value)
        if (parsed.ok) return
        expect(parsed.error).toMatch(/^[A-Z].*\.$/)
        expect(parsed.error).not.toContain(value.trim())
      }),
    )
  })

  it.each([
    { name: 'a UUID', field: '8e03978e-40d5-43e8-bc93-6894a57f9324' },
    { name: 'one character', field: 'k' },
    { name: 'a semicolon in a bare key', field: 'order;42' },
    { name: 'a backslash in a bare key', field: String.raw`a\b` },
    { name: '255 bare characters', field: 'k'.repeat(255) },
  ])('accepts $name', ({ field }) => {
    expect(parseKey(field)).toEqual({ ok: true, value: field })
  })

  it.each([
    { name: '255 characters, all escaped', field: `"${String.raw`\"`.repeat(255)}"`, length: 255 },
    { name: 'nothing but a space, in quotes', field: '" "', length: 1 },
  ])('counts $name after unquoting', ({ field, length }) => {
    const parsed = parseKey(field)
    expect(parsed.ok && parsed.value.length).toBe(length)
  })

  it.each([
    { name: 'nothing', field: '', rule: 'empty' },
    { name: 'blanks only', field: ' \t', rule: 'empty' },
    { name: 'an empty String', field: '""', rule: 'empty' },
    { name: '256 bare characters', field: 'k'.repeat(256), rule: 'at most 255' },
    { name: '256 quoted characters', field: `"${'k'.repeat(256)}"`, rule: 'at most 255' },
    { name: 'two fields, joined', field: 'a, b', rule: 'more than one key' },
    { name: 'two Strings, joined', field: '"a", "b"', rule: 'Nothing may follow' },
    { name: 'a parameter', field: '"a";v=1', rule: 'Nothing may follow' },
    { name: 'an inner space without quotes', field: 'a b', rule: 'without spaces' },
    { name: 'an inner quote without quotes', field: 'a"b', rule: 'double quotes' },
    { name: 'no closing quote', field: '"a', rule: 'ends with a double quote' },
    { name: 'a lone quote', field: '"', rule: 'ends with a double quote' },
    { name: 'a closing quote that is escaped', field: String.raw`"a\"`, rule: 'ends with' },
    { name: 'a backslash before a letter', field: String.raw`"a\n"`, rule: 'backslash' },
    { name: 'a backslash at the end', field: String.raw`"a\ `, rule: 'backslash' },
    { name: 'a letter with an accent', field: 'clé', rule: 'visible ASCII' },
    { name: 'a quoted letter with an accent', field: '"clé"', rule: 'printable ASCII' },
    { name: 'a tab in quotes', field: '"a\tb"', rule: 'printable ASCII' },
  ])('refuses $name', ({ field, rule }) => {
    expect(parseKey(field)).toEqual({ ok: false, error: expect.stringContaining(rule) })
  })
})
