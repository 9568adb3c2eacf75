import { describe, expect, it } from 'vitest'

import { BATCH_MS, shareMs } from '../../../src/queue/batch-time.ts'

describe('shareMs', () => {
  it.each([
    { when: 'all are begun at once', waiting: 10, concurrency: 10, expected: 1_000 },
    { when: 'one comes after the others', waiting: 11, concurrency: 10, expected: 500 },
    { when: 'it is the last one', waiting: 1, concurrency: 10, expected: 1_000 },
    { when: 'each comes after the other', waiting: 100, concurrency: 1, expected: 10 },
  ])('is $expected of 1000 ms where $when', ({ waiting, concurrency, expected }) => {
    expect(shareMs(1_000, waiting, concurrency)).toBe(expected)
  })

  it('is nothing where the time is over', () => {
    expect(shareMs(-1, 1, 1)).toBe(0)
  })

  it.each([
    { count: 100, concurrency: 1 },
    { count: 100, concurrency: 7 },
    { count: 11, concurrency: 10 },
    { count: 1, concurrency: 100 },
  ])('lets $count that all hang be begun, $concurrency at once', ({ count, concurrency }) => {
    const freeAt = Array.from({ length: concurrency }, () => 0)
    for (let waiting = count; waiting > 0; waiting--) {
      const now = Math.min(...freeAt)
      const share = shareMs(BATCH_MS - now, waiting, concurrency)
      expect(share).toBeGreaterThan(BATCH_MS / count / 2)
      freeAt[freeAt.indexOf(now)] = now + share
    }
    expect(Math.max(...freeAt)).toBeLessThanOrEqual(BATCH_MS + 1e-6)
  })
})
