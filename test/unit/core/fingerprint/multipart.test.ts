import { describe, expect, it } from 'vitest'

import { joinParts, toCanonicalMultipart } from '../../../../src/core/fingerprint/multipart.ts'
import { parseMediaType } from '../../../../src/core/wire/media-type.ts'

/** Text as bytes, one for each character; a line break stands for CRLF. */
const toBytes = (text: string) =>
  Uint8Array.from(text.replaceAll('\n', '\r\n'), (character) => character.charCodeAt(0))

function canonicalOf(text: string, boundary = 'b') {
  const type = parseMediaType(`multipart/form-data; boundary="${boundary}"`)
  if (type === undefined) throw new Error('The header must parse.')
  const result = toCanonicalMultipart(toBytes(text), type)
  return result.ok ? joinParts(result.value) : result.error
}

const PART = 'Content-Disposition: form-data; name="a"\nContent-Type: text/plain\n\n1'
const whole = `--b\n${PART}\n--b--\n`

describe('toCanonicalMultipart', () => {
  it.each([
    {
      name: 'the boundary',
      one: whole,
      other: whole.replaceAll('--b', '--other'),
      boundary: 'other',
    },
    {
      name: 'a boundary with spaces and signs',
      one: whole,
      other: whole.replaceAll('--b', "--a b'()+_,-./:=?"),
      boundary: "a b'()+_,-./:=?",
    },
    { name: 'the line break after the last delimiter', one: whole, other: whole.trimEnd() },
    { name: 'padding after delimiters', one: whole, other: `--b \t\n${PART}\n--b-- \n` },
    { name: 'a line break before the first delimiter', one: whole, other: `\n${whole}` },
    {
      name: 'the case of header names',
      one: whole,
      other: whole.replace('Content-Type', 'content-TYPE'),
    },
    {
      name: 'space around header values',
      one: whole,
      other: whole.replace(': text/plain', ':\ttext/plain \t'),
    },
    { name: 'a folded header', one: whole, other: whole.replace('; name', ';\n name') },
    {
      name: 'the order of header lines',
      one: whole,
      other: '--b\nContent-Type: text/plain\nContent-Disposition: form-data; name="a"\n\n1\n--b--',
    },
    {
      name: 'how an empty body is written',
      one: '--b\nA: 1\n\n\n--b--',
      other: '--b\nA: 1\n\n--b--',
    },
    {
      name: 'how a part without anything is written',
      one: '--b\n\n\n--b--',
      other: '--b\n\n--b--',
    },
  ])('does not count $name', ({ one, other, boundary = 'b' }) => {
    expect(canonicalOf(one)).toBeTypeOf('string')
    expect(canonicalOf(other, boundary)).toBe(canonicalOf(one))
  })

  it.each([
    { name: 'part bodies', other: whole.replace('\n\n1', '\n\n2') },
    { name: 'a line break at the end of a body', other: whole.replace('1\n--b', '1\n\n--b') },
    { name: 'space at the end of a body', other: whole.replace('1\n--b', '1 \n--b') },
    { name: 'header values', other: whole.replace('text/plain', 'text/html') },
    { name: 'the case of header values', other: whole.replace('text/plain', 'Text/plain') },
    {
      name: 'a no-break byte at the end of a value',
      other: whole.replace('text/plain', 'text/plain\u00A0'),
    },
    { name: 'the number of parts', other: `--b\n${PART}\n${whole}` },
    { name: 'a preamble', other: `hello\n${whole}` },
    { name: 'an epilogue', other: `${whole}hello` },
    { name: 'whether a line is header or body', other: whole.replace('\n\n1', '\n1: 2\n\n') },
  ])('counts $name', ({ other }) => {
    expect(canonicalOf(other)).toBeTypeOf('string')
    expect(canonicalOf(other)).not.toBe(canonicalOf(whole))
  })

  it('counts the order of parts, and the order of lines of one header name', () => {
    expect(canonicalOf('--b\n\n1\n--b\n\n2\n--b--')).not.toBe(
      canonicalOf('--b\n\n2\n--b\n\n1\n--b--'),
    )
    expect(canonicalOf('--b\nA: 1\nA: 2\n\n\n--b--')).not.toBe(
      canonicalOf('--b\nA: 2\nA: 1\n\n\n--b--'),
    )
  })

  it('compares bodies as bytes', () => {
    expect(canonicalOf('--b\n\n\u00FF\n--b--')).not.toBe(canonicalOf('--b\n\n\u00FE\n--b--'))
    expect(canonicalOf('--b\n\n\u0080\n--b--')).not.toBe(canonicalOf('--b\n\n\u0081\n--b--'))
  })

  it('takes a part that holds what looks like another boundary for content', () => {
    const inner = '--x\n\n1\n--x--'
    expect(canonicalOf(`--b\n\n${inner}\n--b--`)).not.toBe(canonicalOf('--b\n\n1\n--b--'))
  })

  it.each([
    { name: 'no boundary', text: whole, boundary: '', reason: /boundary of 1 to 70/ },
    {
      name: 'a boundary of 71 characters',
      text: whole,
      boundary: 'b'.repeat(71),
      reason: /boundary of 1 to 70/,
    },
    { name: 'an empty body', text: '', boundary: 'b', reason: /no closing delimiter/ },
    { name: 'another boundary', text: whole, boundary: 'c', reason: /no closing delimiter/ },
    {
      name: 'a body cut off',
      text: `--b\n${PART}\n--b\n${PART}`,
      boundary: 'b',
      reason: /no closing delimiter/,
    },
    {
      name: 'a delimiter at the end that does not close',
      text: `--b\n${PART}\n--b`,
      boundary: 'b',
      reason: /no closing delimiter/,
    },
    {
      name: 'a delimiter that does not begin a line',
      text: `--b\n${PART}--b--`,
      boundary: 'b',
      reason: /no closing delimiter/,
    },
    {
      name: 'a line that begins with the boundary and goes on',
      text: '--b\n\n--bc\n--b--',
      boundary: 'b',
      reason: /goes on/,
    },
    {
      name: 'garbage after the closing delimiter',
      text: `${whole.trimEnd()}x`,
      boundary: 'b',
      reason: /goes on/,
    },
    {
      name: 'a header line without a colon',
      text: '--b\nsecret\n\n1\n--b--',
      boundary: 'b',
      reason: /malformed headers/,
    },
    {
      name: 'a header name that is no token',
      text: '--b\nse cret: 1\n\n1\n--b--',
      boundary: 'b',
      reason: /malformed headers/,
    },
    {
      name: 'a part whose header line does not end',
      text: '--b\nA: 1\n--b--',
      boundary: 'b',
      reason: /malformed headers/,
    },
    {
      name: 'a part of something else than headers',
      text: '--b\nsecret\n--b--',
      boundary: 'b',
      reason: /malformed headers/,
    },
  ])('refuses $name', ({ text, boundary, reason }) => {
    const fault = canonicalOf(text, boundary)
    expect(fault).toEqual({
      kind: 'payload-invalid',
      reason: expect.stringMatching(reason) as string,
    })
    expect(JSON.stringify(fault)).not.toContain('cret')
  })

  it('takes linear time for a body of near delimiters, and for very many parts', () => {
    const boundary = 'b'.repeat(70)
    expect(canonicalOf(`\n--${boundary.slice(1)}`.repeat(20_000), boundary)).toMatchObject({
      kind: 'payload-invalid',
    })
    expect(canonicalOf(`${'--b\n\n\n'.repeat(200_000)}--b--`)).toBeTypeOf('string')
    expect(canonicalOf(`--b\nA: 1${' '.repeat(1_000_000)}2\n\n\n--b--`)).toBeTypeOf('string')
  })
})
