import { describe, expect, it } from 'vitest'

import { toCanonicalValue } from '../../../../src/core/fingerprint/canonical-value.ts'

const HOLDS_ITSELF: unknown[] = []
HOLDS_ITSELF.push(HOLDS_ITSELF)

describe('toCanonicalValue', () => {
  it.each([
    { value: 'a', expected: '"a"' },
    { value: 1.5, expected: '1.5' },
    { value: -0, expected: '0' },
    { value: true, expected: 'true' },
    { value: null, expected: 'null' },
    { value: [], expected: '[]' },
    { value: { b: 1, a: [{ d: null, c: 'x' }] }, expected: '{"a":[{"c":"x","d":null}],"b":1}' },
    { value: { a: undefined }, expected: '{}' },
    { value: Object.assign(Object.create(null), { a: 1 }) as unknown, expected: '{"a":1}' },
  ])('writes $value as $expected', ({ value, expected }) => {
    expect(toCanonicalValue(value)).toBe(expected)
  })

  it.each([
    { name: 'undefined', value: undefined },
    { name: 'undefined in a list', value: [undefined] },
    { name: 'NaN', value: Number.NaN },
    { name: 'infinity', value: { a: Infinity } },
    { name: 'a bigint', value: 1n },
    { name: 'a symbol', value: Symbol('a') },
    { name: 'a function', value: () => 1 },
    { name: 'a date', value: new Date(0) },
    { name: 'a map', value: [new Map()] },
    { name: 'bytes', value: new Uint8Array(2) },
    { name: 'half of a surrogate pair', value: '\uD800' },
    { name: 'a list that holds itself', value: HOLDS_ITSELF },
  ])('takes no $name', ({ value }) => {
    expect(toCanonicalValue(value)).toBeNull()
  })
})
