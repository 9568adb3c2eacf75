import { describe, expect, it } from 'vitest'

import { SharedBudget } from '../../../../src/core/retry/shared-budget.ts'

const NOW = 1_000_000

/** Takes retries until there are none. */
function takeAll(budget: SharedBudget, now = NOW): number {
  let retries = 0
  while (retries < 100 && budget.takeRetry(now)) retries += 1
  return retries
}

describe('SharedBudget', () => {
  it('has free retries, and a share of the calls', () => {
    const budget = new SharedBudget({ ratio: 0.5, floor: 3 })
    expect(takeAll(budget)).toBe(3)
    for (let calls = 0; calls < 4; calls++) budget.noteCall(NOW)
    expect(takeAll(budget)).toBe(2)
    expect(takeAll(budget, NOW + 60_000)).toBe(3)
  })

  it('allows every retry where there is no policy', () => {
    expect(takeAll(new SharedBudget(false))).toBe(100)
  })
})
