import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parsePolicy } from '../../../../src/config/policy.ts'
import {
  checkFormat,
  type KeyFormat,
  MAX_KEY_LENGTH,
  parseKey,
  parsePlainKey,
} from '../../../../src/core/request/key.ts'

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

describe('parsePlainKey', () => {
  it('takes any printable ASCII as it stands', () => {
    fc.assert(
      fc.property(keyOf(printable), (key) => {
        expect(parsePlainKey(key)).toEqual({ ok: true, value: key })
      }),
    )
  })

  it.each([
    { name: 'quotes, which belong to it', text: '"a"' },
    { name: 'a comma and spaces', text: ' a, b ' },
    { name: 'a backslash', text: String.raw`a\"` },
    { name: 'a single space', text: ' ' },
    { name: '255 characters', text: 'k'.repeat(255) },
  ])('takes $name', ({ text }) => {
    expect(parsePlainKey(text)).toEqual({ ok: true, value: text })
  })

  it.each([
    { name: 'nothing', text: '', rule: 'empty' },
    { name: '256 characters', text: 'k'.repeat(256), rule: '256 characters; at most 255' },
    { name: 'a line end behind it', text: 'a\n', rule: 'printable ASCII' },
    { name: 'a line end in it', text: 'a\nb', rule: 'printable ASCII' },
    { name: 'a tab', text: 'a\tb', rule: 'printable ASCII' },
    { name: 'the character before the space', text: '\u001F', rule: 'printable ASCII' },
    { name: 'the character behind the tilde', text: '\u007F', rule: 'printable ASCII' },
    { name: 'a letter with an accent', text: 'clé', rule: 'printable ASCII' },
  ])('refuses $name', ({ text, rule }) => {
    expect(parsePlainKey(text)).toEqual({ ok: false, error: expect.stringContaining(rule) })
  })
})

describe('parseKey, attacked', () => {
  // A field is refused by its length at once; what is shorter takes linear time.
  it.each([
    { name: 'blanks in it', field: `a${' '.repeat(1_000_000)}b` },
    { name: 'blanks before it', field: `${' '.repeat(1_000_000)}b` },
    { name: 'blanks and tabs', field: `a${' \t'.repeat(500_000)}b` },
    { name: 'escapes', field: `"${String.raw`\"`.repeat(500_000)}"` },
    { name: 'commas', field: ','.repeat(1_000_000) },
  ])('takes linear time for a field with $name', ({ field }) => {
    for (let run = 0; run < 1_000; run += 1) {
      expect(parseKey(field).ok).toBe(false)
      parseKey(field.slice(0, 1_020))
    }
  })
})

describe('checkFormat', () => {
  const formatOf = (over: Partial<KeyFormat>): KeyFormat => ({
    name: 'order',
    pattern: /^/,
    minLength: 1,
    ...over,
  })
  /** As a route has it whose policy says so. */
  const uuid = () => {
    const policy = parsePolicy({ keyFormat: 'uuid' })
    if (!policy.ok) throw new Error(policy.error.join())
    return policy.value.keyFormat
  }
  const order = /^order-\d+$/

  it.each([
    { name: 'version 4', key: '8e03978e-40d5-43e8-bc93-6894a57f9324', isTaken: true },
    { name: 'version 7', key: '01890a5d-ac96-774b-bcce-b302099a8057', isTaken: true },
    { name: 'upper case', key: '8E03978E-40D5-43E8-BC93-6894A57F9324', isTaken: true },
    { name: 'no hyphens', key: '8e03978e40d543e8bc936894a57f9324', isTaken: false },
    { name: 'braces', key: '{8e03978e-40d5-43e8-bc93-6894a57f9324}', isTaken: false },
    { name: 'a digit too few', key: '8e03978e-40d5-43e8-bc93-6894a57f932', isTaken: false },
    { name: 'a digit too many', key: '8e03978e-40d5-43e8-bc93-6894a57f93241', isTaken: false },
    { name: 'no hexadecimal digit', key: '8e03978e-40d5-43e8-bc93-6894a57f932g', isTaken: false },
    {
      name: 'a name before it',
      key: 'urn:uuid:8e03978e-40d5-43e8-bc93-6894a57f9324',
      isTaken: false,
    },
  ])('takes a UUID with $name: $isTaken', ({ key, isTaken }) => {
    const fault = { ok: false, error: 'The key has not the format of this route: uuid.' }
    expect(checkFormat(key, uuid())).toEqual(isTaken ? { ok: true, value: key } : fault)
  })

  it.each([
    { flags: '', key: 'order-1', isTaken: true },
    { flags: '', key: 'order-', isTaken: false },
    { flags: 'g', key: 'order-1', isTaken: true },
    { flags: 'g', key: 'my order-1', isTaken: false },
    { flags: 'y', key: 'order-1', isTaken: true },
    { flags: 'gi', key: 'ORDER-1', isTaken: true },
  ])('takes $key for the pattern with flags "$flags": $isTaken, every time', (row) => {
    const format = formatOf({ pattern: new RegExp(order, row.flags) })
    const taken = [1, 2, 3].map(() => checkFormat(row.key, format).ok)
    expect(taken).toEqual([row.isTaken, row.isTaken, row.isTaken])
  })

  it('takes a key after one that it has refused, where the pattern remembers', () => {
    const format = formatOf({ pattern: new RegExp(order, 'g') })
    const keys = ['order-1', 'order-', 'order-22', 'x', 'order-3']
    expect(keys.map((key) => checkFormat(key, format).ok)).toEqual([true, false, true, false, true])
  })

  it('looks for a pattern without anchors anywhere in the key', () => {
    expect(checkFormat('my order-1', formatOf({ pattern: /order-\d/ })).ok).toBe(true)
  })

  it.each([
    { minLength: 1, key: 'k', isTaken: true },
    { minLength: 16, key: 'k'.repeat(15), isTaken: false },
    { minLength: 16, key: 'k'.repeat(16), isTaken: true },
    { minLength: 255, key: 'k'.repeat(254), isTaken: false },
    { minLength: 255, key: 'k'.repeat(255), isTaken: true },
  ])('takes $key.length characters where $minLength are wanted: $isTaken', (row) => {
    const { minLength, key, isTaken } = row
    const error = `The key has ${key.length} characters; this route wants at least ${minLength}.`
    const expected = isTaken ? { ok: true, value: key } : { ok: false, error }
    expect(checkFormat(key, formatOf({ minLength }))).toEqual(expected)
  })

  it('names the format and never the key', () => {
    const checked = checkFormat('my-secret-key', formatOf({ pattern: order, name: order.source }))
    const error = String.raw`The key has not the format of this route: ^order-\d+$.`
    expect(checked).toEqual({ ok: false, error })
  })
})
