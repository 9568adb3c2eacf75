import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  type Circuit,
  CLOSED,
  reportCall,
  requestPassage,
} from '../../../../src/core/retry/breaker.ts'

const POLICY = { failures: 3, cooldownMs: 1_000 }
const failedAt = (now: number) => ({ hasFailed: true, now })

describe('requestPassage', () => {
  it.each([
    {
      name: 'a closed circuit',
      circuit: { state: 'closed', failures: 2 },
      now: 0,
      expected: { isOpen: false, circuit: { state: 'closed', failures: 2 } },
    },
    {
      name: 'an open circuit in the last millisecond of its cooldown',
      circuit: { state: 'open', until: 1_000, since: 0 },
      now: 999,
      expected: { isOpen: true, retryAfterMs: 1_000 },
    },
    {
      name: 'an open circuit after its cooldown',
      circuit: { state: 'open', until: 1_000, since: 0 },
      now: 1_000,
      expected: { isOpen: false, circuit: { state: 'half-open', until: 2_000, since: 0 } },
    },
    {
      name: 'a half-open circuit whose one call is on its way',
      circuit: { state: 'half-open', until: 2_000, since: 1_000 },
      now: 1_999,
      expected: { isOpen: true, retryAfterMs: 1_000 },
    },
    {
      name: 'a circuit that has been open for many cooldowns',
      circuit: { state: 'open', until: 20_000, since: 0 },
      now: 19_000,
      expected: { isOpen: true, retryAfterMs: 19_000 },
    },
    {
      name: 'a half-open circuit whose one call never came back',
      circuit: { state: 'half-open', until: 2_000, since: 0 },
      now: 2_000,
      expected: { isOpen: false, circuit: { state: 'half-open', until: 3_000, since: 0 } },
    },
  ] as const)('answers $expected.isOpen, asked of $name', ({ circuit, now, expected }) => {
    expect(requestPassage(circuit, POLICY, now)).toEqual(expected)
  })
})

describe('reportCall', () => {
  it.each([
    {
      when: 'one failure less than it takes has come',
      circuit: { state: 'closed', failures: 1 },
      hasFailed: true,
      expected: { state: 'closed', failures: 2 },
    },
    {
      when: 'enough failures in a row have come',
      circuit: { state: 'closed', failures: 2 },
      hasFailed: true,
      expected: { state: 'open', until: 1_500, since: 500 },
    },
    {
      when: 'a call has succeeded in between',
      circuit: { state: 'closed', failures: 2 },
      hasFailed: false,
      expected: CLOSED,
    },
    {
      when: 'the one call that was to try it has failed',
      circuit: { state: 'half-open', until: 2_000, since: 0 },
      hasFailed: true,
      expected: { state: 'open', until: 1_500, since: 0 },
    },
    {
      when: 'the one call that was to try it has succeeded',
      circuit: { state: 'half-open', until: 2_000, since: 0 },
      hasFailed: false,
      expected: CLOSED,
    },
    {
      when: 'a call fails that had passed before it opened',
      circuit: { state: 'open', until: 1_000, since: 0 },
      hasFailed: true,
      expected: { state: 'open', until: 1_500, since: 0 },
    },
  ] as const)('is $expected.state when $when', ({ circuit, hasFailed, expected }) => {
    expect(reportCall(circuit, POLICY, { hasFailed, now: 500 })).toEqual(expected)
  })

  it('opens at the first failure where one is enough', () => {
    const circuit = reportCall(CLOSED, { ...POLICY, failures: 1 }, failedAt(0))
    expect(circuit).toEqual({ state: 'open', until: 1_000, since: 0 })
  })
})

describe('a circuit', () => {
  it('is never open for ever: after a cooldown somebody passes, whatever has happened', () => {
    const step = fc.record({
      waitMs: fc.nat(1_500),
      hasFailed: fc.boolean(),
      reports: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        let circuit: Circuit = CLOSED
        let now = 0
        for (const { waitMs, hasFailed, reports } of steps) {
          now += waitMs
          const passage = requestPassage(circuit, POLICY, now)
          if (!passage.isOpen) circuit = passage.circuit
          if (!passage.isOpen && reports) circuit = reportCall(circuit, POLICY, { hasFailed, now })
        }
        expect(requestPassage(circuit, POLICY, now + POLICY.cooldownMs).isOpen).toBe(false)
      }),
    )
  })

  it('lets one call through in a cooldown once it has opened', () => {
    let circuit: Circuit = { state: 'open', until: 1_000, since: 0 }
    const passed: number[] = []
    for (let now = 0; now < 3_000; now += 100) {
      const passage = requestPassage(circuit, POLICY, now)
      if (passage.isOpen) continue
      passed.push(now)
      circuit = passage.circuit
    }
    expect(passed).toEqual([1_000, 2_000])
  })
})
