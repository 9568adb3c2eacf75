import { describe, expect, it } from 'vitest'

import { toUnknown } from '../../../../src/core/operation/claim.ts'
import { graceEndsAt } from '../../../../src/core/operation/due.ts'
import { attemptOf, HOLD, probeOf, resendOf, runningOf, unknownOf } from '../../../fakes/build.ts'

const GRACE = probeOf({ graceMs: 2_000 })

describe('graceEndsAt', () => {
  it.each([
    {
      name: 'the end of the only call',
      attempts: [attemptOf({ outcome: 'unknown', endedAt: 700 })],
      expected: 2_700,
    },
    {
      name: 'the end of the last call in doubt',
      attempts: [
        attemptOf({ fence: 1, outcome: 'unknown', endedAt: 100 }),
        attemptOf({ fence: 2, outcome: 'unknown', endedAt: 700 }),
        attemptOf({ fence: 3, outcome: 'not_executed', endedAt: 900 }),
      ],
      expected: 2_700,
    },
  ])('counts from $name', ({ attempts, expected }) => {
    expect(graceEndsAt(unknownOf({ recovery: GRACE, attempts }))).toBe(expected)
  })

  it('counts for a call that was lost with its owner from when that was found out', () => {
    const running = runningOf({ recovery: GRACE, attempts: [attemptOf({ startedAt: 0 })] })
    expect(graceEndsAt(toUnknown(running, 'owner-lost', 60_000))).toBe(62_000)
  })

  it.each([
    {
      name: 'the route asks longer now',
      kept: 2_000,
      asked: probeOf({ graceMs: 9_000 }),
      expected: 9_700,
    },
    { name: 'the record asks longer', kept: 9_000, asked: GRACE, expected: 9_700 },
    { name: 'the record is from before there was a grace', asked: GRACE, expected: 2_700 },
    { name: 'the route has none any more', kept: 2_000, asked: resendOf(), expected: 2_700 },
  ])('is the longer of both where $name', ({ kept, asked, expected }) => {
    const recovery = kept === undefined ? probeOf() : probeOf({ graceMs: kept })
    const attempts = [attemptOf({ outcome: 'unknown', endedAt: 700 })]
    expect(graceEndsAt(unknownOf({ recovery, attempts }), asked)).toBe(expected)
  })

  it('is over at once where neither record nor route has one', () => {
    const attempts = [attemptOf({ outcome: 'unknown', endedAt: 700 })]
    expect(graceEndsAt(unknownOf({ recovery: HOLD, attempts }))).toBe(700)
  })
})
