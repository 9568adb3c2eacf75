import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import {
  readRetryAfter,
  readShouldRetry,
  retryAfterMs,
} from '../../../../src/core/retry/retry-after.ts'

const ALMOST_ONE = 1 - Number.EPSILON / 2

describe('retryAfterMs', () => {
  it.each([
    { runningMs: 0, random: 0, expected: 1_000 },
    { runningMs: 999, random: 0, expected: 1_000 },
    { runningMs: 1_001, random: 0, expected: 1_001 },
    { runningMs: 4_000, random: 0, expected: 4_000 },
    { runningMs: 4_000, random: 0.5, expected: 6_000 },
    { runningMs: 4_000, random: ALMOST_ONE, expected: 8_000 },
    { runningMs: 29_999, random: 0, expected: 29_999 },
    { runningMs: 30_001, random: 0, expected: 30_000 },
    { runningMs: 3_600_000, random: ALMOST_ONE, expected: 60_000 },
  ])(
    'keeps a duplicate away for $expected ms after $runningMs ms, by chance $random',
    ({ runningMs, random, expected }) => {
      expect(retryAfterMs(runningMs, random)).toBe(expected)
    },
  )

  it('is a whole number from one to sixty seconds, even before a clock that went back', () => {
    const chance = fc.double({ min: 0, max: ALMOST_ONE, noNaN: true })
    fc.assert(
      fc.property(fc.integer({ min: -1_000_000 }), chance, (runningMs, random) => {
        const ms = retryAfterMs(runningMs, random)
        expect(Number.isInteger(ms)).toBe(true)
        expect(ms).toBeGreaterThanOrEqual(1_000)
        expect(ms).toBeLessThanOrEqual(60_000)
      }),
    )
  })
})

describe('readRetryAfter, of Retry-After', () => {
  const NOW = Date.parse('2026-11-24T12:00:00Z')

  it.each([
    { field: '', expected: null },
    { field: 'soon', expected: null },
    { field: '0', expected: 0 },
    { field: '120', expected: 120_000 },
    { field: '0.5', expected: 500 },
    { field: '1.2345', expected: 1_235 },
    { field: '1.', expected: null },
    { field: '-1', expected: null },
    { field: '999999999', expected: 999_999_999_000 },
    { field: '10000000000', expected: 10_000_000_000_000 },
    { field: '9'.repeat(400), expected: Number.MAX_SAFE_INTEGER },
    { field: '2.0000000000', expected: 2_000 },
    { field: 'Tue, 24 Nov 2026 12:00:30 GMT', expected: 30_000 },
    { field: 'Tuesday, 24-Nov-26 12:00:30 GMT', expected: 30_000 },
    { field: 'Tue, 24 Nov 2026 12:00:00 GMT', expected: 0 },
    { field: 'Tue, 24 Nov 2026 11:59:59 GMT', expected: 0 },
  ])('reads $field as $expected ms', ({ field, expected }) => {
    expect(readRetryAfter([['retry-after', field]], NOW)).toBe(expected)
  })
})

describe('readRetryAfter, far from Greenwich', () => {
  beforeEach(() => vi.stubEnv('TZ', 'America/New_York'))
  afterEach(() => vi.unstubAllEnvs())

  it.each([
    'Tue, 24 Nov 2026 12:00:30 GMT',
    'Tuesday, 24-Nov-26 12:00:30 GMT',
    'Tue Nov 24 12:00:30 2026',
  ])('reads each form of an HTTP date, and all of them in GMT: %s', (field) => {
    const now = Date.UTC(2026, 10, 24, 12)
    expect(readRetryAfter([['retry-after', field]], now)).toBe(30_000)
  })
})

describe('readRetryAfter', () => {
  it.each([
    { headers: [], expected: null },
    { headers: [['retry-after', '3']], expected: 3_000 },
    { headers: [['retry-after-ms', '250']], expected: 250 },
    { headers: [['retry-after-ms', '12.5']], expected: 13 },
    { headers: [['retry-after-ms', '10000000000']], expected: 10_000_000_000 },
    {
      headers: [
        ['retry-after', '3'],
        ['retry-after-ms', '250'],
      ],
      expected: 250,
    },
    {
      headers: [
        ['retry-after-ms', 'soon'],
        ['retry-after', '3'],
      ],
      expected: 3_000,
    },
    { headers: [['retry-after', 'Thu, 01 Jan 1970 00:00:05 GMT']], expected: 4_000 },
  ] as const)('reads $headers as $expected ms', ({ headers, expected }) => {
    expect(readRetryAfter(headers, 1_000)).toBe(expected)
  })
})

describe('readShouldRetry', () => {
  it.each([
    { headers: [], expected: null },
    { headers: [['x-should-retry', 'true']], expected: true },
    { headers: [['x-should-retry', ' FALSE ']], expected: false },
    { headers: [['stripe-should-retry', 'true']], expected: true },
    { headers: [['x-should-retry', '1']], expected: null },
    {
      headers: [
        ['stripe-should-retry', 'true'],
        ['x-should-retry', 'false'],
      ],
      expected: false,
    },
  ] as const)('reads $headers as $expected', ({ headers, expected }) => {
    expect(readShouldRetry(headers)).toBe(expected)
  })
})
