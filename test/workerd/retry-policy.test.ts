import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parsePolicy } from '../../src/config/policy.ts'
import type { Duration } from '../../src/core/duration.ts'
import { type RetryOptions, toRetryPolicy } from '../../src/core/retry/retry-options.ts'
import { cron } from '../../src/once/cron.ts'
import { readConsumer } from '../../src/queue/consume-options.ts'
import { attribute } from '../../src/queue/message-source.ts'

const POLICY: RetryOptions = { attempts: 5, base: '1s', cap: '1m', deadline: '10m' }

/** Everything that reads a policy, as what it makes of it: an error where it is refused. */
const READERS = {
  'retry() and createIdempotentFetch': toRetryPolicy,
  protect(retry: RetryOptions) {
    const read = parsePolicy({ retry })
    if (!read.ok) throw new TypeError(read.error.join())
    return read.value.retry
  },
  consume: (retry: RetryOptions) =>
    readConsumer(() => {}, { tenant: attribute('tenant'), retry }).retry,
}

const readers = Object.entries(READERS).map(([name, read]) => ({ name, read }))

/** A policy with one member that may be wrong, whatever the compiler says. */
const wrong = (members: object) => members as RetryOptions

const isTakenBy = (read: (options: RetryOptions) => unknown, options: RetryOptions) => {
  try {
    read(options)
    return true
  } catch {
    return false
  }
}

describe('one policy value', () => {
  it.each(readers)('means the same for $name', ({ read }) => {
    expect(read({ ...POLICY, budget: { ratio: 0.5 } })).toMatchObject({
      attempts: 5,
      baseMs: 1_000,
      capMs: 60_000,
      deadlineMs: 600_000,
      budget: { ratio: 0.5, floor: 10 },
    })
    expect(read({ budget: false })).toMatchObject({ budget: false })
  })

  it.each([
    { field: 'attempts', taken: [1, 101], refused: [0, 102, 1.5, '3', null] },
    { field: 'base', taken: [0, '12h'], refused: [-1, 43_200_001, 'soon', null] },
    { field: 'cap', taken: [0, '12h'], refused: [-1, 43_200_001, 'soon', null] },
    { field: 'deadline', taken: [0, '24h'], refused: [-1, 86_400_001, 'soon', null] },
    {
      field: 'budget',
      taken: [false, {}, { ratio: 0 }, { ratio: 1, floor: 1 }, { floor: 10_000 }],
      refused: [true, null, 1, { ratio: -0.1 }, { ratio: 1.1 }, { floor: 0 }, { floor: 10_001 }],
    },
    { field: 'tries', taken: [], refused: [1] },
  ])('has the same limits of $field everywhere', ({ field, taken, refused }) => {
    for (const { name, read } of readers) {
      const told = [...taken, ...refused].map((value) => isTakenBy(read, wrong({ [field]: value })))
      const expected = [...taken.map(() => true), ...refused.map(() => false)]
      expect({ name, told }).toEqual({ name, told: expected })
    }
  })

  it('is one of cron as well', () => {
    expect(() => cron('policy', { retry: POLICY }, () => {})).not.toThrow()
    expect(() => cron('policy', { retry: { attempts: 102 } }, () => {})).toThrow(/retry\.attempts/)
  })

  it('is taken by everything that reads it, or by nothing', () => {
    const duration = fc.oneof(
      fc.nat(100_000_000),
      fc.tuple(fc.nat(40), fc.constantFrom('ms', 's', 'm', 'h')).map((parts) => parts.join('')),
    )
    const options = fc.record(
      {
        attempts: fc.integer({ min: -1, max: 120 }),
        base: duration as fc.Arbitrary<Duration>,
        cap: duration as fc.Arbitrary<Duration>,
        deadline: duration as fc.Arbitrary<Duration>,
        budget: fc.oneof(
          fc.constant<false>(false),
          fc.record({
            ratio: fc.double({ noNaN: true, min: -0.5, max: 1.5 }),
            floor: fc.nat(11_000),
          }),
        ),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(options, (retry) => {
        const told = new Set(readers.map(({ read }) => isTakenBy(read, retry)))
        expect(told.size).toBe(1)
      }),
    )
  })
})

describe('toRetryPolicy', () => {
  it.each([
    { options: { attempts: 0 }, says: 'retry.attempts must be a whole number from 1 to 101.' },
    { options: { deadline: '25h' }, says: 'retry.deadline must be a duration .* at most 24h' },
    { options: { budget: { floor: 0.5 } }, says: 'retry.budget.floor must be a whole number' },
    { options: { budget: true }, says: 'retry.budget must be false, or have a ratio' },
    { options: { breaker: {} }, says: 'retry.breaker is no option here' },
  ])('says what is wrong with $options', ({ options, says }) => {
    expect(() => toRetryPolicy(wrong(options))).toThrow(new RegExp(says))
  })
})
