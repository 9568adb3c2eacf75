import { describe, expect, it } from 'vitest'

import { readOuterRetry } from '../../../../src/core/retry/outer-retry.ts'

describe('readOuterRetry', () => {
  it('takes a request without a word about retries for a first try without a deadline', () => {
    expect(readOuterRetry(new Headers())).toEqual({ attempt: 1, deadlineAt: null })
  })

  it.each([
    { value: '1', expected: 1 },
    { value: '2', expected: 2 },
    { value: '1000', expected: 1_000 },
    { value: '1001', expected: 1_000 },
    { value: '0', expected: 1 },
    { value: '-3', expected: 1 },
    { value: '1.5', expected: 1 },
    { value: 'Infinity', expected: 1 },
    { value: 'two', expected: 1 },
    { value: '2, 3', expected: 1 },
    { value: '', expected: 1 },
  ])('reads Idempotency-Attempt: $value as $expected', ({ value, expected }) => {
    const headers = new Headers({ 'Idempotency-Attempt': value })
    expect(readOuterRetry(headers)).toEqual({ attempt: expected, deadlineAt: null })
  })

  it.each([
    { value: '1767225600000', expected: 1_767_225_600_000 },
    { value: '2026-01-01T00:00:00Z', expected: 1_767_225_600_000 },
    { value: '2026-01-01t00:00:00.250z', expected: 1_767_225_600_250 },
    { value: '2026-01-01T01:00:00+01:00', expected: 1_767_225_600_000 },
    { value: '1767225600', expected: null },
    { value: '30', expected: null },
    { value: '2026-01-01', expected: null },
    { value: '2026-13-01T00:00:00Z', expected: null },
    { value: 'Thu, 01 Jan 2026 00:00:00 GMT', expected: null },
    { value: '', expected: null },
  ])('reads X-Request-Deadline: $value as $expected', ({ value, expected }) => {
    const headers = new Headers({ 'X-Request-Deadline': value })
    expect(readOuterRetry(headers)).toEqual({ attempt: 1, deadlineAt: expected })
  })
})
