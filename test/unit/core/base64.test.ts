import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { fromBase64, toBase64, toBase64Url } from '../../../src/core/base64.ts'

const bytesOf = (binary: string) => Uint8Array.from(binary, (char) => char.charCodeAt(0))
const bytes = fc.uint8Array({ maxLength: 100 })

describe('toBase64', () => {
  it('writes what btoa writes, also of a part of a buffer', () => {
    fc.assert(
      fc.property(bytes, fc.nat(100), (all, start) => {
        const part = all.subarray(start)
        expect(toBase64(part)).toBe(btoa(String.fromCharCode(...part)))
      }),
    )
  })

  it.each([24_575, 24_576, 24_577, 100_000])('joins the slices of %i bytes', (length) => {
    const long = Uint8Array.from({ length }, (_, index) => (index * 7) % 256)
    const binary = Array.from(long, (byte) => String.fromCharCode(byte)).join('')
    expect(toBase64(long)).toBe(btoa(binary))
  })
})

describe('toBase64Url', () => {
  it.each([
    { name: 'no bytes', bytes: [], expected: '' },
    { name: 'two characters of padding', bytes: [0xff], expected: '_w' },
    { name: 'one character of padding', bytes: [0xff, 0xef], expected: '_-8' },
    { name: 'no padding', bytes: [0xfb, 0xef, 0xff], expected: '--__' },
  ])('writes no padding and no character that a URL escapes: $name', ({ bytes: own, expected }) => {
    expect(toBase64Url(new Uint8Array(own))).toBe(expected)
  })
})

describe('fromBase64', () => {
  it('reads what toBase64 writes', () => {
    fc.assert(
      fc.property(bytes, (own) => {
        expect(fromBase64(toBase64(own))).toEqual(own)
      }),
    )
  })

  // Secrets and messages of deployments are written so.
  it.each([
    { name: 'no text', text: '', expected: '' },
    { name: 'white space', text: ' Y\tW\nJ\fj\r', expected: 'abc' },
    { name: 'no padding', text: 'YQ', expected: 'a' },
    { name: 'bits that do not count', text: 'YR==', expected: 'a' },
  ])('takes $name', ({ text, expected }) => {
    expect(fromBase64(text)).toEqual(bytesOf(expected))
  })

  it.each([
    { name: 'half of the padding', text: 'YQ=' },
    { name: 'a single character', text: 'Y' },
    { name: 'the characters of base64url', text: '_-8=' },
    { name: 'padding alone', text: '=' },
    { name: 'text behind the padding', text: 'YQ==YQ==' },
    { name: 'a vertical tab', text: '\vYQ==' },
    { name: 'a no-break space', text: '\u00A0YQ==' },
    { name: 'a letter beyond ASCII', text: 'YQé=' },
  ])('refuses $name', ({ text }) => {
    expect(() => fromBase64(text)).toThrow(DOMException)
  })
})
