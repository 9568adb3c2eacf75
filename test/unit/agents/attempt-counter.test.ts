import { describe, expect, it } from 'vitest'

import { createAttemptCounter } from '../../../src/agents/attempt-counter.ts'

describe('createAttemptCounter', () => {
  it('counts 1,000 keys, and of one more forgets the one that was called least recently', () => {
    const count = createAttemptCounter()
    for (let key = 0; key < 1_000; key++) count(String(key))
    expect(count('0')).toBe(2)
    count('new')
    expect(count('1')).toBe(1)
    expect(count('0')).toBe(3)
  })
})
