import { describe, expect, it } from 'vitest'

import { parseDuration } from '../../../src/core/duration.ts'

describe('parseDuration', () => {
  it.each([
    { value: '250ms', expected: 250 },
    { value: '10s', expected: 10_000 },
    { value: '3m', expected: 180_000 },
    { value: '24h', expected: 86_400_000 },
    { value: '7d', expected: 604_800_000 },
    { value: '1.5s', expected: 1_500 },
    { value: '0s', expected: 0 },
    { value: 0, expected: 0 },
    { value: 1_500, expected: 1_500 },
    { value: '0.4ms', expected: 0 },
    { value: '0.5ms', expected: 1 },
    { value: 0.5, expected: 1 },
  ])('reads $value as $expected ms', ({ value, expected }) => {
    expect(parseDuration(value)).toBe(expected)
  })

  it.each([
    { value: '' },
    { value: '10' },
    { value: 's' },
    { value: '10 s' },
    { value: ' 10s' },
    { value: '10s ' },
    { value: '10S' },
    { value: '-1s' },
    { value: '1e3s' },
    { value: '.5s' },
    { value: '1.s' },
    { value: '1h30m' },
    { value: '1w' },
    { value: -1 },
    { value: Number.NaN },
    { value: Number.POSITIVE_INFINITY },
    { value: null },
    { value: undefined },
    { value: true },
    { value: ['10s'] },
  ])('does not take $value for a duration', ({ value }) => {
    expect(parseDuration(value)).toBeNull()
  })
})
