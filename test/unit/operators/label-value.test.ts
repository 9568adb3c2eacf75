import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { toVisible } from '../../../src/core/visible.ts'
import { toLabelValue } from '../../../src/operators/label-value.ts'
import { anyText } from '../../fakes/any-text.ts'
import { RAW, UNSEEN } from '../../fakes/unseen.ts'

/** What a strict reader of the format finds in a line; it knows three escapes and nothing raw. */
function read(line: string): string {
  const [, quoted] = /^m\{l="((?:[^"\\\n\r]|\\["\\n])*)"\} 1$/.exec(line) ?? []
  if (quoted === undefined) throw new Error(`This is no sample: ${JSON.stringify(line)}`)
  return quoted.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
}

const lineOf = (value: string) => `m{l="${toLabelValue(value)}"} 1`

describe('toLabelValue', () => {
  it.each([
    { value: String.raw`a\b`, expected: String.raw`a\\b` },
    { value: 'a"b', expected: String.raw`a\"b` },
    { value: 'a\nb', expected: String.raw`a\nb` },
    { value: '"} 1\nm{l="', expected: String.raw`\"} 1\nm{l=\"` },
    { value: 'a\\\nb', expected: String.raw`a\\\nb` },
    { value: 'a\r\nb', expected: String.raw`a\\u000d\nb` },
    { value: '', expected: '' },
  ])('writes $value as $expected', ({ value, expected }) => {
    expect(toLabelValue(value)).toBe(expected)
  })

  it.each(UNSEEN)('is read by a strict reader as it is shown: $name', ({ text, shown }) => {
    expect(read(lineOf(text))).toBe(text.includes('\n') ? text : shown)
  })

  it('is one sample, in well-formed Unicode, whatever the name', () => {
    fc.assert(
      fc.property(anyText(), (value) => {
        const line = lineOf(value)
        expect(line).not.toMatch(RAW)
        expect(line.isWellFormed()).toBe(true)
        expect(read(line)).toBe(value.split('\n').map(toVisible).join('\n'))
      }),
    )
  })
})
