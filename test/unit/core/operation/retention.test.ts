import { describe, expect, it } from 'vitest'

import { countFrom, estimateReceipt } from '../../../../src/core/operation/retention.ts'
import { settledOf, snapshotOf } from '../../../fakes/build.ts'

const DAY_MS = 86_400_000

describe('countFrom', () => {
  it.each([
    { name: 'a day, a second later', retentionMs: DAY_MS, at: 1_000, expected: DAY_MS + 1_000 },
    { name: 'a day, within that second', retentionMs: DAY_MS, at: 999, expected: null },
    { name: 'a second, ten milliseconds later', retentionMs: 1_000, at: 10, expected: 1_010 },
    { name: 'a second, nine milliseconds later', retentionMs: 1_000, at: 9, expected: null },
    { name: 'a second, long after it', retentionMs: 1_000, at: 60_000, expected: 61_000 },
  ])('counts retention of $name', ({ retentionMs, at, expected }) => {
    const record = settledOf({ settledAt: 5, expiresAt: 5 + retentionMs })
    const counted = countFrom(record, 5 + at)
    expect(counted).toEqual(expected === null ? null : { ...record, expiresAt: 5 + expected })
  })
})

describe('estimateReceipt', () => {
  it.each([
    { name: 'as fast as it came', tookMs: 499, expected: 499 },
    { name: 'a little slower', tookMs: 500, expected: 2_500 },
    { name: 'for a second', tookMs: 1_000, expected: 5_000 },
    { name: 'for five seconds', tookMs: 5_000, expected: 15_000 },
    { name: 'for half a minute', tookMs: 30_000, expected: 60_000 },
    { name: 'for an hour', tookMs: 3_600_000, expected: 3_660_000 },
  ])('says when a client has it that was handed the last byte $name', ({ tookMs, expected }) => {
    const record = settledOf({ settledAt: 7, expiresAt: 1_007 })
    expect(estimateReceipt(record, 7 + tookMs)).toBe(7 + expected)
  })

  it('counts from the claim where nothing is kept, since settling waits for the client', () => {
    const snapshot = snapshotOf({ body: 'omitted', bodyBytes: 0 })
    const record = settledOf({ snapshot, claimedAt: 7, settledAt: 1_007, expiresAt: 2_007 })
    expect(estimateReceipt(record, 1_007)).toBe(5_007)
  })
})
