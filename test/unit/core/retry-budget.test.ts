import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { deposit, type RetryBudget, withdraw } from '../../../src/core/retry-budget.ts'

const POLICY = { ratio: 0.25, floor: 10 }

describe('deposit', () => {
  it.each([
    { name: 'the first call', budget: null, expected: 10 },
    { name: 'a call into a full bucket', budget: 10, expected: 10 },
    { name: 'a call into a bucket that is nearly full', budget: 9.75, expected: 10 },
    { name: 'a call into an empty bucket', budget: 0, expected: 0.25 },
    {
      name: 'a call into a bucket that another route has filled further',
      budget: 50,
      expected: 50,
    },
  ])('leaves $expected tokens after $name', ({ budget, expected }) => {
    expect(deposit(budget, POLICY)).toBe(expected)
  })
})

describe('withdraw', () => {
  it.each([
    { name: 'a bucket that nobody has used', budget: null, expected: 9 },
    { name: 'a bucket with one token', budget: 1, expected: 0 },
    { name: 'a bucket with less than one', budget: 0.75, expected: null },
    { name: 'an empty bucket', budget: 0, expected: null },
  ])('leaves $expected of $name', ({ budget, expected }) => {
    expect(withdraw(budget, POLICY)).toBe(expected)
  })
})

describe('a budget', () => {
  it('pays no more retries than its floor and its share of the calls, in any order', () => {
    const steps = fc.array(fc.boolean(), { maxLength: 200 })
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 20 }), (isCalls, floor) => {
        const policy = { ratio: 0.25, floor }
        let budget: RetryBudget = null
        let retries = 0
        for (const isCall of isCalls) {
          const left: RetryBudget = isCall ? deposit(budget, policy) : withdraw(budget, policy)
          if (left === null) continue
          budget = left
          if (!isCall) retries += 1
        }
        const calls = isCalls.filter(Boolean).length
        expect(retries).toBeLessThanOrEqual(floor + calls * policy.ratio)
      }),
    )
  })

  it('pays again once enough calls were made', () => {
    let budget = 0
    for (let calls = 1; calls <= 3; calls++) budget = deposit(budget, POLICY)
    expect(withdraw(budget, POLICY)).toBeNull()
    expect(withdraw(deposit(budget, POLICY), POLICY)).toBe(0)
  })
})
