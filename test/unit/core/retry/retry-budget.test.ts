import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { deposit, type RetryBudget, withdraw } from '../../../../src/core/retry/retry-budget.ts'

const POLICY = { ratio: 0.25, floor: 10 }
const NOW = 1_000_000
const tokensOf = (tokens: number, size = 10): RetryBudget => ({ tokens, size, at: NOW })

describe('deposit', () => {
  it.each([
    { name: 'the first call', budget: null, expected: tokensOf(10) },
    { name: 'a call into a full bucket', budget: tokensOf(10), expected: tokensOf(10) },
    { name: 'a call into one that is nearly full', budget: tokensOf(9.75), expected: tokensOf(10) },
    { name: 'a call into an empty one', budget: tokensOf(0), expected: tokensOf(0.25) },
    {
      name: 'a call into one that another route has made larger',
      budget: tokensOf(30, 50),
      expected: tokensOf(30.25, 50),
    },
    {
      name: 'the first call of a route with a larger floor',
      budget: tokensOf(1, 2),
      expected: tokensOf(9.25),
    },
  ])('leaves what is there and was paid in after $name', ({ budget, expected }) => {
    expect(deposit(budget, POLICY, NOW)).toEqual(expected)
  })
})

describe('withdraw', () => {
  it.each([
    { name: 'a bucket that nobody has used', budget: null, expected: tokensOf(9) },
    { name: 'a bucket with one token', budget: tokensOf(1), expected: tokensOf(0) },
    { name: 'a bucket with less than one', budget: tokensOf(0.75), expected: null },
    { name: 'an empty bucket', budget: tokensOf(0), expected: null },
  ])('leaves of $name what is there after a retry', ({ budget, expected }) => {
    expect(withdraw(budget, POLICY, NOW)).toEqual(expected)
  })

  it.each([
    { name: 'nothing after 5,999 ms', afterMs: 5_999, expected: null },
    { name: 'one retry after a tenth of a minute', afterMs: 6_000, expected: 0 },
    { name: 'all of its floor after a minute', afterMs: 60_000, expected: 9 },
    { name: 'no more than its floor after a day', afterMs: 86_400_000, expected: 9 },
    { name: 'nothing when the clock was set back', afterMs: -60_000, expected: null },
  ])('has for a tenant that was quiet $name', ({ afterMs, expected }) => {
    const left = withdraw(tokensOf(0), POLICY, NOW + afterMs)
    expect(left?.tokens ?? null).toBe(expected)
  })

  it('takes nothing away from a bucket that another route has made larger', () => {
    expect(withdraw(tokensOf(50, 50), POLICY, NOW + 60_000)?.tokens).toBe(49)
  })
})

describe('a budget', () => {
  it('pays no more retries than its floor, its share of the calls and what time fills in, in any order', () => {
    const step = fc.record({ isCall: fc.boolean(), afterMs: fc.nat(10_000) })
    const steps = fc.array(step, { maxLength: 200 })
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 20 }), (all, floor) => {
        const policy = { ratio: 0.25, floor }
        let budget: RetryBudget = null
        let retries = 0
        let now = NOW
        for (const { isCall, afterMs } of all) {
          now += afterMs
          const left: RetryBudget = (isCall ? deposit : withdraw)(budget, policy, now)
          if (left === null) continue
          budget = left
          if (!isCall) retries += 1
        }
        const calls = all.filter(({ isCall }) => isCall).length
        const filled = ((now - NOW) / 60_000) * floor
        expect(retries).toBeLessThanOrEqual(floor + calls * policy.ratio + filled + 1e-6)
      }),
    )
  })

  it.each([0, 1])(
    'is full again within a minute, also under calls of a route whose floor is %i',
    (floor) => {
      const small = { ratio: 0, floor }
      let budget = deposit(tokensOf(0), small, NOW)
      for (let afterMs = 10; afterMs <= 60_000; afterMs += 10) {
        budget = deposit(budget, small, NOW + afterMs)
      }
      expect(budget.tokens).toBeCloseTo(10)
    },
  )

  it('pays again once enough calls were made', () => {
    let budget = tokensOf(0)
    for (let calls = 1; calls <= 3; calls++) budget = deposit(budget, POLICY, NOW)
    expect(withdraw(budget, POLICY, NOW)).toBeNull()
    expect(withdraw(deposit(budget, POLICY, NOW), POLICY, NOW)).toEqual(tokensOf(0))
  })
})
