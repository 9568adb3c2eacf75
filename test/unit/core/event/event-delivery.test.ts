import { describe, expect, it } from 'vitest'

import { decideEventFate, nextTryAt } from '../../../../src/core/event/event-delivery.ts'

const RETRY = { attempts: 3, baseMs: 1_000, capMs: 1_500 }
const FAILED = { kind: 'failed', reason: 'busy', afterMs: 0 } as const
const most = () => 0.999_999

describe('decideEventFate', () => {
  it.each([
    {
      when: 'it has arrived',
      end: { kind: 'delivered' } as const,
      failures: 2,
      expected: { kind: 'delivered' },
    },
    {
      when: 'a try is left',
      end: FAILED,
      failures: 1,
      expected: { kind: 'retried', reason: 'busy', dueAt: 11_500 },
    },
    {
      when: 'no try is left',
      end: FAILED,
      failures: 2,
      expected: { kind: 'dead', death: { reason: 'busy', attempts: 3 } },
    },
    {
      when: 'the receiver wants no more',
      end: { kind: 'refused', reason: 'gone' } as const,
      failures: 0,
      expected: { kind: 'dead', death: { reason: 'gone', attempts: 1 } },
    },
  ])('is $expected.kind when $when', ({ end, failures, expected }) => {
    expect(decideEventFate(end, { retry: RETRY, failures }, 10_000, most)).toEqual(expected)
  })
})

describe('nextTryAt', () => {
  it.each([
    { when: 'chance says at once', random: () => 0, afterMs: 0, expected: 1 },
    { when: 'the backoff is longest', random: most, afterMs: 999, expected: 1_000 },
    { when: 'the receiver asks for longer', random: most, afterMs: 1_001, expected: 1_001 },
    {
      when: 'the receiver asks for a day',
      random: most,
      afterMs: 86_400_000,
      expected: 86_400_000,
    },
    { when: 'the receiver asks for more', random: most, afterMs: 86_400_001, expected: 86_400_000 },
  ])('waits $expected ms when $when', ({ random, afterMs, expected }) => {
    expect(nextTryAt({ retry: RETRY, failures: 0 }, 0, random, afterMs)).toBe(expected)
  })
})
