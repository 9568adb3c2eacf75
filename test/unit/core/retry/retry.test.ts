import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { Outcome } from '../../../../src/core/outcome/outcome.ts'
import {
  backoffMs,
  boundRetry,
  decideRetry,
  type RetryAsk,
  retryCalls,
} from '../../../../src/core/retry/retry.ts'
import { retryPolicyOf } from '../../../fakes/build.ts'

const POLICY = retryPolicyOf()

/** The highest number that `Math.random` can give. */
const NEARLY_ONE = 1 - Number.EPSILON / 2

describe('boundRetry', () => {
  it.each([
    { when: 'the outer layer tries for the first time', attempt: 1, expected: 4 },
    { when: 'it tries for the second time', attempt: 2, expected: 3 },
    { when: 'it has left one call', attempt: 4, expected: 1 },
    { when: 'it has used up all of them', attempt: 5, expected: 1 },
    { when: 'it has used up many more', attempt: 1_000, expected: 1 },
  ])('leaves $expected of four calls when $when', ({ attempt, expected }) => {
    expect(boundRetry(POLICY, { attempt, deadlineAt: null }, 0).attempts).toBe(expected)
  })

  it.each([
    { name: 'none', deadlineAt: null, expected: 31_000 },
    { name: 'one that is later than the own', deadlineAt: 31_001, expected: 31_000 },
    { name: 'one that is earlier than the own', deadlineAt: 30_999, expected: 30_999 },
    { name: 'one that is over', deadlineAt: 0, expected: 0 },
  ])('ends at $expected where the deadline from outside is $name', ({ deadlineAt, expected }) => {
    expect(boundRetry(POLICY, { attempt: 1, deadlineAt }, 1_000).deadlineAt).toBe(expected)
  })
})

describe('backoffMs', () => {
  it.each([
    { attempt: 1, most: 200 },
    { attempt: 2, most: 400 },
    { attempt: 5, most: 3_200 },
    { attempt: 6, most: 5_000 },
    { attempt: 2_000, most: 5_000 },
  ])('is 0 to $most ms after call $attempt', ({ attempt, most }) => {
    expect(backoffMs(POLICY, attempt, 0)).toBe(0)
    expect(backoffMs(POLICY, attempt, NEARLY_ONE)).toBe(most)
  })

  it('is whole, and within its bounds, for any policy', () => {
    const random = fc.double({ min: 0, max: NEARLY_ONE, noNaN: true })
    fc.assert(
      fc.property(fc.nat(60_000), fc.nat(600_000), fc.nat(40), random, (baseMs, capMs, n, r) => {
        const delayMs = backoffMs({ baseMs, capMs }, n + 1, r)
        expect(Number.isInteger(delayMs)).toBe(true)
        expect(delayMs).toBeGreaterThanOrEqual(0)
        expect(delayMs).toBeLessThanOrEqual(Math.min(capMs, baseMs * 2 ** n))
      }),
    )
  })
})

describe('decideRetry of an answer that says itself when it may be tried again', () => {
  const bounds = { attempts: 4, deadlineAt: 10_000 }
  const facts = { attempt: 1, outcome: 'not_executed', now: 0, random: NEARLY_ONE } as const
  const decide = (ask: RetryAsk) => decideRetry(POLICY, bounds, { ...facts, ask })

  it.each([
    { minimumMs: 0, expected: { kind: 'retry', delayMs: 200 } },
    { minimumMs: 199, expected: { kind: 'retry', delayMs: 200 } },
    { minimumMs: 201, expected: { kind: 'retry', delayMs: 201 } },
    { minimumMs: 9_999, expected: { kind: 'retry', delayMs: 9_999 } },
    { minimumMs: 10_000, expected: { kind: 'stop', because: 'deadline' } },
  ])('waits $minimumMs ms at least, or not at all', ({ minimumMs, expected }) => {
    expect(decide({ minimumMs })).toEqual(expected)
  })

  it('stops where the answer forbids another try', () => {
    expect(decide({ isForbidden: true })).toEqual({ kind: 'stop', because: 'origin' })
    expect(decide({ isForbidden: false })).toMatchObject({ kind: 'retry' })
  })
})

describe('decideRetry', () => {
  const bounds = { attempts: 4, deadlineAt: 1_000 }
  const facts = { attempt: 1, outcome: 'not_executed', now: 0, random: 0.5 } as const

  it.each([
    { when: 'it was not executed', over: {}, expected: { kind: 'retry', delayMs: 100 } },
    {
      when: 'its outcome is not one to be tried again',
      over: { outcome: 'unknown' },
      expected: { kind: 'stop', because: 'outcome' },
    },
    { when: 'one call is left', over: { attempt: 3 }, expected: { kind: 'retry', delayMs: 400 } },
    { when: 'none is', over: { attempt: 4 }, expected: { kind: 'stop', because: 'attempts' } },
    {
      when: 'the next call begins a millisecond before the deadline',
      over: { now: 899 },
      expected: { kind: 'retry', delayMs: 100 },
    },
    {
      when: 'the next call would begin at the deadline',
      over: { now: 900 },
      expected: { kind: 'stop', because: 'deadline' },
    },
  ] as const)('decides $expected.kind when $when', ({ over, expected }) => {
    expect(decideRetry(POLICY, bounds, { ...facts, ...over })).toEqual(expected)
  })

  it.each([{ outcome: 'succeeded' }, { outcome: 'failed' }] as const)(
    'never repeats what has $outcome',
    ({ outcome }) => {
      const policy = retryPolicyOf({ on: ['not_executed', 'unknown'] })
      expect(decideRetry(policy, bounds, { ...facts, outcome })).toMatchObject({ kind: 'stop' })
    },
  )
})

describe('retryCalls', () => {
  const bounds = { attempts: 4, deadlineAt: 30_000 }

  /** Calls that end so, one after the other, on a clock that only the pauses move. */
  function stepsFor(outcomes: readonly Outcome[], pausesAllowed = Infinity) {
    const log: string[] = []
    let now = 0
    let pauses = 0
    return {
      log,
      async call(attempt: number) {
        log.push(`call ${attempt}`)
        return outcomes[attempt - 1] ?? 'unknown'
      },
      outcomeOf: (end: Outcome) => end,
      async pause(delayMs: number, end: Outcome) {
        log.push(`pause ${delayMs} after ${end}`)
        now += delayMs
        pauses += 1
        return pauses <= pausesAllowed
      },
      now: () => now,
      random: () => 0.5,
    }
  }

  it('makes one call where the first one is final', async () => {
    const steps = stepsFor(['succeeded'])
    expect(await retryCalls(POLICY, bounds, steps)).toBe('succeeded')
    expect(steps.log).toEqual(['call 1'])
  })

  it('goes on with growing pauses until a call is final', async () => {
    const steps = stepsFor(['not_executed', 'not_executed', 'failed'])
    expect(await retryCalls(POLICY, bounds, steps)).toBe('failed')
    expect(steps.log).toEqual([
      'call 1',
      'pause 100 after not_executed',
      'call 2',
      'pause 200 after not_executed',
      'call 3',
    ])
  })

  it('ends with what the call before said, where the pause says that there is to be none', async () => {
    const steps = stepsFor(['not_executed', 'not_executed', 'succeeded'], 1)
    expect(await retryCalls(POLICY, bounds, steps)).toBe('not_executed')
    expect(steps.log.filter((line) => line.startsWith('call'))).toHaveLength(2)
  })

  it('makes as many calls as the bounds allow at the most, and none after the deadline', async () => {
    const outcome = fc.constantFrom<Outcome>('succeeded', 'failed', 'not_executed', 'unknown')
    const outcomes = fc.array(outcome, { minLength: 20, maxLength: 20 })
    const attempts = fc.integer({ min: 1, max: 20 })
    await fc.assert(
      fc.asyncProperty(outcomes, attempts, fc.nat(10_000), async (ends, most, deadlineAt) => {
        const steps = stepsFor(ends)
        const end = await retryCalls(POLICY, { attempts: most, deadlineAt }, steps)
        const calls = steps.log.filter((line) => line.startsWith('call')).length
        expect(calls).toBeLessThanOrEqual(most)
        expect(steps.now()).toBeLessThanOrEqual(Math.max(0, deadlineAt))
        expect(end).toBe(ends[calls - 1])
        const repeated = ends.slice(0, calls - 1)
        expect(repeated).toEqual(repeated.map(() => 'not_executed'))
      }),
    )
  })
})
