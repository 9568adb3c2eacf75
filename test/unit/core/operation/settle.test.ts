import { describe, expect, it } from 'vitest'

import { isUnexecuted } from '../../../../src/core/operation/attempts.ts'
import { claimAgain } from '../../../../src/core/operation/claim.ts'
import {
  decideSettle,
  isOpen,
  noteAttempt,
  type Settlement,
} from '../../../../src/core/operation/settle.ts'
import {
  attemptOf,
  attemptsOf,
  claimRefOf,
  durableHoldOf,
  HOLD,
  probeOf,
  resendOf,
  runningOf,
  settledOf,
  snapshotOf,
  tombstoneOf,
  unknownOf,
} from '../../../fakes/build.ts'

const evidenceOf = (originStatus: number) => ({ originStatus, fault: null })

const SUCCEEDED: Settlement = {
  outcome: 'succeeded',
  snapshot: snapshotOf(),
  retentionMs: null,
  evidence: evidenceOf(201),
}
const NOT_EXECUTED: Settlement = {
  outcome: 'not_executed',
  coversAll: false,
  evidence: evidenceOf(503),
}
const UNKNOWN: Settlement = {
  outcome: 'unknown',
  reason: 'origin-answered',
  evidence: evidenceOf(500),
}

const leasedUntil = (leaseUntil: number) => runningOf({ owner: { kind: 'worker', leaseUntil } })

describe('decideSettle', () => {
  it.each([
    {
      when: 'a call has succeeded',
      record: runningOf(),
      settlement: SUCCEEDED,
      expected: {
        kind: 'store',
        isLate: false,
        record: { state: 'succeeded', settledAt: 500, expiresAt: 1_500, snapshot: snapshotOf() },
      },
    },
    {
      when: 'a call has failed',
      record: runningOf({ retentionMs: 200 }),
      settlement: { ...SUCCEEDED, outcome: 'failed', snapshot: snapshotOf({ status: 422 }) },
      expected: {
        kind: 'store',
        isLate: false,
        record: { state: 'failed', expiresAt: 700, snapshot: { status: 422 } },
      },
    },
    {
      when: 'nobody knows what a call did',
      record: runningOf(),
      settlement: UNKNOWN,
      expected: {
        kind: 'store',
        isLate: false,
        record: {
          state: 'unknown',
          reason: 'origin-answered',
          settledAt: 500,
          expiresAt: null,
          recoveryCount: 0,
          recoveryAt: 5_500,
          attempts: [attemptOf({ endedAt: 500, originStatus: 500, outcome: 'unknown' })],
        },
      },
    },
    {
      when: 'nobody knows what a call did that may be sent again',
      record: runningOf({ recovery: resendOf() }),
      settlement: UNKNOWN,
      expected: { kind: 'store', isLate: false, record: { state: 'unknown', expiresAt: 1_500 } },
    },
    {
      when: 'the origin has set how long its result is kept',
      record: runningOf(),
      settlement: { ...SUCCEEDED, retentionMs: 70 },
      expected: { kind: 'store', isLate: false, record: { expiresAt: 570 } },
    },
    {
      when: 'no call of several was executed',
      record: runningOf({ fence: 3, attempts: attemptsOf('not_executed', 'not_executed', null) }),
      settlement: NOT_EXECUTED,
      expected: { kind: 'release', isLate: false },
    },
    {
      when: 'the last call was not executed, and nobody knows about the first',
      record: runningOf({ fence: 3, attempts: attemptsOf('unknown', 'not_executed', null) }),
      settlement: NOT_EXECUTED,
      expected: {
        kind: 'store',
        isLate: false,
        record: { state: 'unknown', reason: 'origin-answered', fence: 3 },
      },
    },
    {
      when: 'the last call was not executed, and the first has lost its owner',
      record: runningOf({ fence: 3, attempts: attemptsOf(null, 'not_executed', null) }),
      settlement: NOT_EXECUTED,
      expected: { kind: 'store', isLate: false, record: { state: 'unknown' } },
    },
    ...[401, 403, 407].map((status) => ({
      when: `the last call of a stored request was refused with ${status}, and nobody knows about the first`,
      record: runningOf({
        fence: 2,
        attempts: attemptsOf('unknown', null),
        recovery: resendOf({ isDurable: true }),
      }),
      settlement: { ...NOT_EXECUTED, evidence: evidenceOf(status) },
      expected: {
        kind: 'store',
        isLate: false,
        record: { state: 'unknown', recovery: { kind: 'resend', isDurable: false } },
      },
    })),
    {
      when: 'the route leaves it open what a refusal of a stored request means',
      record: runningOf({ recovery: probeOf({ isDurable: true }) }),
      settlement: { ...UNKNOWN, evidence: evidenceOf(401) },
      expected: {
        kind: 'store',
        isLate: false,
        record: { state: 'unknown', recovery: { kind: 'probe', isDurable: false } },
      },
    },
    {
      when: 'the origin of a stored request is away, and nobody knows about the first call',
      record: runningOf({
        fence: 2,
        attempts: attemptsOf('unknown', null),
        recovery: resendOf({ isDurable: true }),
      }),
      settlement: NOT_EXECUTED,
      expected: { kind: 'store', isLate: false, record: { recovery: { isDurable: true } } },
    },
    {
      when: 'the origin says of every call that it was not executed',
      record: runningOf({ fence: 3, attempts: attemptsOf('unknown', null, null) }),
      settlement: { ...NOT_EXECUTED, coversAll: true },
      expected: { kind: 'release', isLate: false },
    },
    {
      when: 'a Worker settles in the last millisecond of its lease',
      record: leasedUntil(501),
      settlement: SUCCEEDED,
      expected: { kind: 'store', isLate: false, record: { state: 'succeeded' } },
    },
    {
      when: 'a Worker settles when its lease has just ended',
      record: leasedUntil(500),
      settlement: SUCCEEDED,
      expected: { kind: 'store', isLate: true, record: { state: 'succeeded' } },
    },
    {
      when: 'a Worker settles after its lease and knows nothing',
      record: leasedUntil(500),
      settlement: UNKNOWN,
      expected: { kind: 'store', isLate: true, record: { state: 'unknown' } },
    },
    {
      when: 'an owner that was given up knows of its own call only',
      record: unknownOf({ fence: 2, attempts: attemptsOf('unknown', null) }),
      settlement: NOT_EXECUTED,
      expected: { kind: 'refuse' },
    },
    {
      when: 'a call was not executed',
      record: runningOf(),
      settlement: NOT_EXECUTED,
      expected: { kind: 'release', isLate: false },
    },
    {
      when: 'an owner that was given up brings the result',
      record: unknownOf(),
      settlement: SUCCEEDED,
      expected: {
        kind: 'store',
        isLate: true,
        record: { state: 'succeeded', settledAt: 500, expiresAt: 1_500 },
      },
    },
    {
      when: 'an owner that was given up knows that nothing was executed',
      record: unknownOf(),
      settlement: NOT_EXECUTED,
      expected: { kind: 'release', isLate: true },
    },
    {
      when: 'an owner that was given up knows no more than is known',
      record: unknownOf(),
      settlement: UNKNOWN,
      expected: { kind: 'refuse' },
    },
  ] as const)('answers $expected.kind when $when', ({ record, settlement, expected }) => {
    const claim = claimRefOf({ fence: record.fence })
    expect(decideSettle(record, claim, settlement, 500)).toMatchObject(expected)
  })

  it.each([
    { when: 'nothing is stored', record: null },
    { when: 'a newer claim runs', record: runningOf({ fence: 2, claimId: 'claim-2' }) },
    {
      when: 'a newer claim has an unknown outcome',
      record: unknownOf({ fence: 2, claimId: 'claim-2' }),
    },
    { when: 'only the fence is another', record: runningOf({ fence: 2 }) },
    { when: 'the key was freed and claimed anew', record: runningOf({ claimId: 'claim-2' }) },
    { when: 'it has succeeded', record: settledOf() },
    { when: 'it has failed', record: settledOf({ state: 'failed' }) },
    { when: 'only its tombstone is left', record: tombstoneOf() },
  ])('refuses every settlement when $when', ({ record }) => {
    const decisions = [SUCCEEDED, NOT_EXECUTED, UNKNOWN].map((settlement) =>
      decideSettle(record, claimRefOf(), settlement, 500),
    )
    expect(decisions).toEqual(decisions.map(() => ({ kind: 'refuse' })))
  })

  it('keeps who made the claim, and drops who drove it', () => {
    const claim = { fence: 1, claimId: 'claim-1', correlationId: 'correlation-9', createdAt: 7 }
    const decision = decideSettle(runningOf(claim), claimRefOf(), SUCCEEDED, 500)
    expect(decision).toMatchObject({ record: claim })
    expect(decision).not.toHaveProperty('record.owner')
  })

  it('drops what was unknown once the result is there', () => {
    const decision = decideSettle(unknownOf(), claimRefOf(), SUCCEEDED, 500)
    expect(decision).not.toHaveProperty('record.reason')
    expect(decision).not.toHaveProperty('record.recoveryAt')
  })

  it('keeps the evidence of its own call, and leaves that of the others as it is', () => {
    const [first] = attemptsOf('unknown')
    const record = runningOf({ fence: 2, attempts: [...attemptsOf('unknown', null)] })
    const decision = decideSettle(record, claimRefOf({ fence: 2 }), SUCCEEDED, 500)
    const own = { endedAt: 500, originStatus: 201, fault: null, outcome: 'succeeded' } as const
    expect(decision).toMatchObject({
      record: { attempts: [first, attemptOf({ fence: 2, ...own })] },
    })
  })

  it('does not free a key whose unknown call was more than 20 calls ago', () => {
    const others = Array.from({ length: 19 }, () => 'not_executed' as const)
    const before = runningOf({ fence: 20, attempts: attemptsOf('unknown', ...others) })
    const next = { claimId: 'claim-1', owner: { kind: 'object' }, isResolved: false } as const
    const record = claimAgain(before, next, 500)
    const decision = decideSettle(record, claimRefOf({ fence: 21 }), NOT_EXECUTED, 500)
    expect(decision).toMatchObject({ kind: 'store', record: { state: 'unknown' } })
  })
})

describe('decideSettle of what a Worker says again', () => {
  const again = { by: 'worker' } as const
  const unknown = unknownOf({ reason: 'origin-answered' })

  it.each([
    { what: 'a result', settlement: SUCCEEDED, record: settledOf({ settledBy: 'worker' }) },
    { what: 'that nothing was executed, its key free', settlement: NOT_EXECUTED, record: null },
    { what: 'that it does not know', settlement: UNKNOWN, record: unknown },
    {
      what: 'that nothing was executed, after a call in doubt',
      settlement: NOT_EXECUTED,
      record: unknownOf({ fence: 2, attempts: attemptsOf('unknown', 'not_executed') }),
      claim: claimRefOf({ fence: 2 }),
    },
  ])(
    'changes nothing, and is not refused: $what',
    ({ settlement, record, claim = claimRefOf() }) => {
      const said = { ...settlement, ...again }
      expect(decideSettle(record, claim, said, 500)).toEqual({ kind: 'repeat' })
      expect(decideSettle(record, claim, settlement, 500)).toEqual({ kind: 'refuse' })
    },
  )

  it.each([
    { when: 'somebody else has settled its claim', record: settledOf() },
    {
      when: 'it said another thing before',
      record: settledOf({ settledBy: 'worker', state: 'failed' }),
    },
    { when: 'a newer attempt was settled', record: settledOf({ settledBy: 'worker', fence: 2 }) },
    { when: 'its claim was adopted', record: runningOf({ claimId: 'claim-3' }) },
    { when: 'nothing is known of it any more', record: null },
  ])('is refused when $when', ({ record }) => {
    const said = { ...SUCCEEDED, ...again }
    expect(decideSettle(record, claimRefOf(), said, 500)).toEqual({ kind: 'refuse' })
  })

  it('leaves in the record that its Worker has settled it', () => {
    expect(decideSettle(runningOf(), claimRefOf(), { ...SUCCEEDED, ...again }, 500)).toMatchObject({
      record: { state: 'succeeded', settledBy: 'worker' },
    })
  })
})

describe('decideSettle of an operation whose client was told to come back', () => {
  const accepted = { isAccepted: true, recovery: durableHoldOf() }

  it('keeps it in progress for the alarm where it was not executed', () => {
    const record = runningOf(accepted)
    const ended = { endedAt: 500, originStatus: 503, outcome: 'not_executed' } as const
    expect(decideSettle(record, claimRefOf(), NOT_EXECUTED, 500)).toEqual({
      kind: 'store',
      record: { ...record, attempts: [attemptOf(ended)] },
      isLate: false,
    })
  })

  it.each([
    { name: 'that was not accepted', over: { ...accepted, isAccepted: false } },
    { name: 'whose request is not stored', over: { ...accepted, recovery: HOLD } },
    { name: 'whose request is sent again by clients', over: { ...accepted, recovery: resendOf() } },
  ])('frees the key of one $name', ({ over }) => {
    const decision = decideSettle(runningOf(over), claimRefOf(), NOT_EXECUTED, 500)
    expect(decision).toEqual({ kind: 'release', isLate: false })
  })

  it.each([
    { settlement: SUCCEEDED, state: 'succeeded' },
    { settlement: UNKNOWN, state: 'unknown' },
  ])('is $state as any other', ({ settlement, state }) => {
    const decision = decideSettle(runningOf(accepted), claimRefOf(), settlement, 500)
    expect(decision).toMatchObject({ kind: 'store', record: { state, isAccepted: true } })
  })

  it.each([307, 308, 401, 403, 406, 407, 412, 415, 417, 426, 428, 431])(
    'frees the key of what the origin answers with %d: sent again it would be refused again',
    (status) => {
      const settlement = { ...NOT_EXECUTED, evidence: evidenceOf(status) }
      const decision = decideSettle(runningOf(accepted), claimRefOf(), settlement, 500)
      expect(decision).toEqual({ kind: 'release', isLate: false })
    },
  )

  it('leaves it open for such a caller, too, where an earlier call may have been executed', () => {
    const record = runningOf({ ...accepted, fence: 2, attempts: attemptsOf('unknown', null) })
    const settlement = { ...NOT_EXECUTED, evidence: evidenceOf(401) }
    const decision = decideSettle(record, claimRefOf({ fence: 2 }), settlement, 500)
    expect(decision).toMatchObject({ kind: 'store', record: { state: 'unknown' } })
  })

  it('takes it over from a Worker that has nothing executed', () => {
    const record = runningOf({ ...accepted, owner: { kind: 'worker', leaseUntil: 900 } })
    expect(decideSettle(record, claimRefOf(), NOT_EXECUTED, 500)).toMatchObject({
      kind: 'store',
      record: { state: 'in_progress', owner: { kind: 'object' } },
    })
  })

  it('believes the origin that says of every call that it was not executed', () => {
    const record = runningOf({ ...accepted, fence: 2, attempts: attemptsOf('unknown', null) })
    const settlement = { ...NOT_EXECUTED, coversAll: true }
    const decision = decideSettle(record, claimRefOf({ fence: 2 }), settlement, 500)
    if (decision.kind !== 'store') throw new Error('It is kept for the alarm.')
    expect(isUnexecuted(decision.record)).toBe(true)
  })

  it('leaves it open where an earlier call may have been executed', () => {
    const record = runningOf({ ...accepted, fence: 2, attempts: attemptsOf('unknown', null) })
    const decision = decideSettle(record, claimRefOf({ fence: 2 }), NOT_EXECUTED, 500)
    expect(decision).toMatchObject({ kind: 'store', record: { state: 'unknown' } })
  })
})

describe('noteAttempt', () => {
  const end = { outcome: 'not_executed', evidence: evidenceOf(503) } as const

  it('closes the call and leaves the claim as it is', () => {
    const record = runningOf({ fence: 2, attempts: attemptsOf('unknown', null) })
    const noted = noteAttempt(record, claimRefOf({ fence: 2 }), end, 500)
    const own = { endedAt: 500, originStatus: 503, outcome: 'not_executed' } as const
    const [first] = record.attempts
    expect(noted).toEqual({ ...record, attempts: [first, attemptOf({ fence: 2, ...own })] })
  })

  it.each([
    { when: 'nothing is stored', record: null },
    { when: 'a newer claim runs', record: runningOf({ fence: 2 }) },
    { when: 'its key was freed and claimed anew', record: runningOf({ claimId: 'claim-2' }) },
    { when: 'its owner was given up', record: unknownOf() },
    { when: 'it has ended', record: settledOf() },
  ])('notes nothing when $when', ({ record }) => {
    expect(noteAttempt(record, claimRefOf(), end, 500)).toBeNull()
  })
})

describe('isOpen', () => {
  it.each([
    { name: 'a claim that runs', record: runningOf(), expected: true },
    { name: 'a claim that was given up', record: unknownOf(), expected: true },
    { name: 'another fence', record: runningOf({ fence: 2 }), expected: false },
    { name: 'another claim', record: runningOf({ claimId: 'claim-2' }), expected: false },
    { name: 'a result', record: settledOf(), expected: false },
    { name: 'a tombstone', record: tombstoneOf(), expected: false },
    { name: 'nothing', record: null, expected: false },
  ])('says $expected of $name', ({ record, expected }) => {
    expect(isOpen(record, claimRefOf())).toBe(expected)
  })
})
