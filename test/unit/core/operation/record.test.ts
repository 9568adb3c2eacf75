import { describe, expect, it } from 'vitest'

import {
  claimAgain,
  claimResolved,
  decideClaim,
  toUnknown,
} from '../../../../src/core/operation/claim.ts'
import {
  doubtOf,
  type InProgressRecord,
  type UnknownRecord,
} from '../../../../src/core/operation/record.ts'
import { decideSettle, noteAttempt } from '../../../../src/core/operation/settle.ts'
import {
  attemptOf,
  claimRefOf,
  durableHoldOf,
  factsOf,
  requestOf,
  resendOf,
  runningOf,
  settledOf,
  tombstoneOf,
  unknownOf,
} from '../../../fakes/build.ts'

const DOUBT = { reason: 'origin-timeout', since: 100 } as const
const again = { claimId: 'claim-2', owner: { kind: 'object' }, isResolved: false } as const
const EVIDENCE = { originStatus: null, fault: null }
const failed = attemptOf({ endedAt: 100, outcome: 'unknown' })
const unknown = unknownOf({ settledAt: 100, recovery: resendOf(), attempts: [failed] })

/** The same call again, which ends like the one before. */
function failAgain(record: UnknownRecord, now: number): UnknownRecord {
  const claimed = claimAgain(record, { ...again, claimId: `claim-${now}` }, now)
  const [fence, claimId] = [claimed.fence, claimed.claimId]
  const end = { outcome: 'unknown', evidence: EVIDENCE } as const
  const noted = noteAttempt(claimed, claimRefOf({ fence, claimId }), end, now + 30)
  return toUnknown(noted ?? claimed, 'connection-lost', now + 30)
}

describe('doubtOf', () => {
  it.each([
    { name: 'an unknown outcome', record: unknown, expected: DOUBT },
    {
      name: 'one that the alarm sends again',
      record: claimAgain(unknown, again, 500),
      expected: DOUBT,
    },
    {
      name: 'one that the next request sends again',
      record: recordOf(decideClaim(unknown, requestOf({ recovery: resendOf() }), factsOf())),
      expected: DOUBT,
    },
    {
      name: 'one that is sent again for the third time',
      record: claimAgain(claimAgain(unknown, again, 500), again, 600),
      expected: DOUBT,
    },
    {
      name: 'one of which the origin has said that no call was executed',
      record: claimAgain(unknown, { ...again, isResolved: true }, 500),
      expected: null,
    },
    {
      name: 'the same, for a request',
      record: claimResolved(unknown, requestOf(), 500),
      expected: null,
    },
    { name: 'a first call', record: runningOf(), expected: null },
    {
      name: 'a first call whose retry runs: nobody was told that it is unknown',
      record: claimAgain(runningOf({ attempts: [failed] }), again, 500),
      expected: null,
    },
    { name: 'a result', record: settledOf(), expected: null },
    { name: 'a tombstone', record: tombstoneOf(), expected: null },
    { name: 'nothing', record: null, expected: null },
  ])('of $name', ({ record, expected }) => {
    expect(doubtOf(record)).toEqual(expected)
  })

  it('is over when an accepted operation is known not to have been executed', () => {
    const record = { ...unknown, isAccepted: true, recovery: durableHoldOf() }
    const settlement = { outcome: 'not_executed', coversAll: true, evidence: EVIDENCE } as const
    const decision = decideSettle(record, claimRefOf(), settlement, 500)
    expect(decision.kind === 'store' && doubtOf(decision.record)).toBeNull()
  })

  it('is as old as the first call in doubt, however many follow', () => {
    let record: UnknownRecord = unknown
    for (let nth = 1; nth <= 60; nth++) {
      record = failAgain(record, nth * 1_000)
      expect(doubtOf(record)?.since).toBe(100)
      expect(record.expiresAt).toBe(100 + record.retentionMs)
    }
  })
})

function recordOf(decision: ReturnType<typeof decideClaim>): InProgressRecord {
  if (decision.kind !== 'execute') throw new Error(`It was ${decision.kind}.`)
  return decision.record
}
