import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { toCanonicalPairs } from '../../../../src/core/fingerprint/pairs.ts'
import { createPointerTree } from '../../../../src/core/fingerprint/pointer-tree.ts'

const canonicalOf = (text: string, ignore: readonly string[] = [], dates: readonly string[] = []) =>
  toCanonicalPairs(new TextEncoder().encode(text), createPointerTree(ignore, dates))

type PairList = readonly (readonly [name: string, value: string])[]

const encode = (list: PairList) =>
  list.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
const toSorted = (list: PairList) =>
  JSON.stringify(list.toSorted(([one], [other]) => (one === other ? 0 : one < other ? -1 : 1)))

describe('toCanonicalPairs', () => {
  it.each([
    { name: 'the order of names', one: 'b=2&a=1', other: 'a=1&b=2' },
    { name: 'empty pairs', one: '&a=1&&b=2&', other: 'a=1&b=2' },
    { name: 'a name without an equals sign', one: 'a', other: 'a=' },
    { name: 'plus and %20', one: 'a=x+y', other: 'a=x%20y' },
    { name: 'the case of hexadecimal digits', one: 'a=%c3%a9', other: 'a=%C3%A9' },
    { name: 'needless escapes', one: '%61=%62', other: 'a=b' },
    { name: 'raw and escaped UTF-8', one: 'a=é', other: 'a=%C3%A9' },
    { name: 'a broken escape and its escaped form', one: 'a=%zz', other: 'a=%25zz' },
    { name: 'an escape cut off', one: 'a=%4', other: 'a=%254' },
    { name: 'nothing at all', one: '', other: '&&' },
  ])('does not count $name', ({ one, other }) => {
    expect(canonicalOf(one)).toBe(canonicalOf(other))
  })

  it.each([
    { name: 'values', one: 'a=1', other: 'a=2' },
    { name: 'the order of equal names', one: 'a=1&a=2', other: 'a=2&a=1' },
    { name: 'the number of equal names', one: 'a=1', other: 'a=1&a=1' },
    { name: 'bytes that are not UTF-8', one: 'a=%FF', other: 'a=%FE' },
    { name: 'a malformed byte and U+FFFD', one: 'a=%FF', other: 'a=%EF%BF%BD' },
    { name: 'an escaped ampersand', one: 'a=1%26b=2', other: 'a=1&b=2' },
    { name: 'an escaped equals sign', one: 'a%3D=1', other: 'a==1' },
    { name: 'an escaped plus', one: 'a=%2B', other: 'a=+' },
    { name: 'an escaped percent sign', one: 'a=%2541', other: 'a=%41' },
    { name: 'a pair of empty name and value', one: '=', other: '' },
    { name: 'where the name ends', one: 'ab=c', other: 'a=bc' },
    { name: 'the case of names', one: 'a=1', other: 'A=1' },
  ])('counts $name', ({ one, other }) => {
    expect(canonicalOf(one)).not.toBe(canonicalOf(other))
  })

  it('leaves out every field, and compares every one as a date, under a star', () => {
    expect(canonicalOf('a=1&b=2', ['/*'])).toBe('')
    const one = canonicalOf('a=2026-11-24T10:00:00Z', [], ['/*'])
    expect(canonicalOf('a=2026-11-24T11:00:00%2B01:00', [], ['/*'])).toBe(one)
    expect(canonicalOf('*=1&b=2', ['/b', '/c'])).toBe(canonicalOf('*=1'))
  })

  it('leaves out ignored fields, all of a name, and compares dates as instants', () => {
    expect(canonicalOf('t=1&a=1&t=2', ['/t'])).toBe(canonicalOf('a=1', ['/t']))
    expect(canonicalOf('%C3%A9=1&a=1', ['/é'])).toBe(canonicalOf('a=1'))
    expect(canonicalOf('a%2Fb=1', ['/a~1b'])).toBe('')
    const zulu = canonicalOf('at=2026-11-24T10%3A00%3A00Z', [], ['/at'])
    expect(zulu).toBe(canonicalOf('at=2026-11-24T11%3A00%3A00%2B01%3A00', [], ['/at']))
    expect(zulu).not.toBe(canonicalOf('at=2026-11-24T10%3A00%3A00%2B01%3A00', [], ['/at']))
    expect(canonicalOf('at=1', [], ['/at'])).toBe(canonicalOf('at=1'))
  })

  it('gives two lists one text exactly when they have the same pairs for each name', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', ':', '1', '@', '&', '%', '=') })
    const pairs = fc.array(fc.tuple(text, text), { maxLength: 4 })
    fc.assert(
      fc.property(pairs, pairs, (one, other) => {
        const isEqual = canonicalOf(encode(one)) === canonicalOf(encode(other))
        expect(isEqual).toBe(toSorted(one) === toSorted(other))
      }),
      { numRuns: 1000 },
    )
  })

  // Each is done in well under a second; in quadratic time it would take minutes.
  it.each([
    { name: 'equal names', text: 'a=1&'.repeat(250_000) },
    {
      name: 'names, descending',
      text: Array.from({ length: 80_000 }, (_, index) => `${9_999_999 - index}=1`).join('&'),
    },
    { name: 'ampersands', text: '&'.repeat(1_000_000) },
    { name: 'equals signs', text: '='.repeat(1_000_000) },
    { name: 'percent signs', text: '%'.repeat(1_000_000) },
    { name: 'escaped bytes', text: '%F0'.repeat(300_000) },
    { name: 'pluses', text: `a=${'+'.repeat(1_000_000)}` },
  ])('takes linear time for $name', ({ text }) => {
    expect(canonicalOf(text, ['/a'], ['/b'])).toBeTypeOf('string')
  })
})
