import { describe, expect, it } from 'vitest'

import { decideAdoption, decideRenewal } from '../../../../src/core/operation/lease.ts'
import {
  attemptOf,
  claimRefOf,
  runningOf,
  settledOf,
  tombstoneOf,
  unknownOf,
} from '../../../fakes/build.ts'

const leased = runningOf({ owner: { kind: 'worker', leaseUntil: 500 } })

describe('decideRenewal', () => {
  it.each([
    { when: 'it comes in time', until: 900, expected: 900 },
    { when: 'an earlier one has lengthened it further', until: 400, expected: 500 },
  ])('never shortens a lease: $when', ({ until, expected }) => {
    expect(decideRenewal(leased, claimRefOf(), until)).toEqual({
      ...leased,
      owner: { kind: 'worker', leaseUntil: expected },
    })
  })

  it.each([
    { when: 'nothing is stored', record: null },
    { when: 'the object drives the claim', record: runningOf() },
    { when: 'a newer attempt runs', record: { ...leased, fence: 2 } },
    { when: 'another claim was made after a release', record: { ...leased, claimId: 'claim-2' } },
    { when: 'the claim was given up', record: unknownOf() },
    { when: 'the claim is settled', record: settledOf() },
    { when: 'its result has expired', record: tombstoneOf() },
  ])('counts for nothing when $when', ({ record }) => {
    expect(decideRenewal(record, claimRefOf(), 900)).toBeNull()
  })
})

describe('decideAdoption', () => {
  it.each([
    { when: 'in time', record: leased, doubt: {} },
    {
      when: 'late, when nobody has taken over: in doubt until its end',
      record: unknownOf({ attempts: [attemptOf({ endedAt: 500, outcome: 'unknown' })] }),
      doubt: { doubt: { reason: 'origin-timeout', since: 0 } as const },
    },
  ])('gives the claim to the object under a new name, $when', ({ record, doubt }) => {
    const attempts = [attemptOf()]
    expect(decideAdoption(record, claimRefOf(), 'claim-3')).toEqual(
      runningOf({ owner: { kind: 'object' }, claimId: 'claim-3', attempts, ...doubt }),
    )
  })

  it.each([
    { when: 'nothing is stored', record: null },
    { when: 'the object drives the claim already', record: runningOf() },
    { when: 'a newer attempt runs', record: { ...leased, fence: 2 } },
    { when: 'a stream was adopted before', record: { ...leased, claimId: 'claim-2' } },
    { when: 'the claim is settled', record: settledOf() },
    { when: 'its result has expired', record: tombstoneOf() },
  ])('is refused when $when', ({ record }) => {
    expect(decideAdoption(record, claimRefOf(), 'claim-3')).toBeNull()
  })
})
