import { describe, expect, it } from 'vitest'

import {
  type OperatorAction,
  refuseAction,
  toOperatorSettlement,
} from '../../../../src/core/operation/operator-action.ts'
import { toOperatorView } from '../../../../src/core/operation/operator-view.ts'
import type { OperationRecord } from '../../../../src/core/operation/record.ts'
import { decideSettle } from '../../../../src/core/operation/settle.ts'
import {
  attemptOf,
  attemptsOf,
  claimRefOf,
  durableHoldOf,
  resendOf,
  runningOf,
  settledOf,
  tombstoneOf,
  unknownOf,
} from '../../../fakes/build.ts'

const FACTS = { isRunning: false, isRecovering: false, pendingEvents: 0 }
const viewOf = (record: OperationRecord, facts = FACTS) => toOperatorView('id', record, facts)
const timelineOf = (record: OperationRecord) =>
  viewOf(record).timeline.map(({ at, what }) => [Date.parse(at), what])

describe('toOperatorView', () => {
  it.each([
    {
      state: 'in progress, by its object',
      record: runningOf(),
      facts: { ...FACTS, isRunning: true },
      expected: { state: 'in_progress', owner: { kind: 'object' }, isRunning: true },
    },
    {
      state: 'in progress, by a Worker',
      record: runningOf({ owner: { kind: 'worker', leaseUntil: 1_000 } }),
      expected: { owner: { kind: 'worker', leaseUntil: '1970-01-01T00:00:01.000Z' } },
    },
    {
      state: 'unknown and held',
      record: unknownOf({ settledAt: 5 }),
      expected: { state: 'unknown', reason: 'origin-timeout', recovery: 'hold', isDurable: false },
    },
    {
      state: 'unknown and asked about',
      record: unknownOf({ recovery: resendOf({ isDurable: true }), recoveryAt: 5_000 }),
      facts: { ...FACTS, isRecovering: true },
      expected: { isDurable: true, nextAttemptAt: '1970-01-01T00:00:05.000Z' },
    },
    {
      state: 'succeeded',
      record: settledOf(),
      expected: { result: { status: 201, bodyBytes: 2, body: 'kept', isSealed: false } },
    },
    {
      state: 'sealed',
      record: settledOf({ snapshot: { keyId: 'k', box: 'x', bodyBytes: 2, body: 'kept' } }),
      expected: { result: { bodyBytes: 2, body: 'kept', isSealed: true } },
    },
    {
      state: 'expired',
      record: tombstoneOf(),
      expected: { state: 'expired', expiresAt: '1970-01-01T00:00:01.000Z' },
    },
    {
      state: 'expired, and has failed',
      record: tombstoneOf({ outcome: 'failed' }),
      expected: { state: 'expired', outcome: 'failed' },
    },
  ])('shows what is $state', ({ record, facts, expected }) => {
    expect(viewOf(record, facts)).toMatchObject(expected)
  })

  it('shows nothing that only the client should know', () => {
    const record = settledOf({ fingerprint: 'v1:secret', places: 'secret', claimId: 'secret' })
    const sealed = settledOf({
      snapshot: { keyId: 'k', box: 'secret', bodyBytes: 2, body: 'kept' },
    })
    expect(JSON.stringify([viewOf(record), viewOf(sealed)])).not.toContain('secret')
  })

  it('says what happened in the order in which it did', () => {
    const attempts = [
      attemptOf({ fence: 1, startedAt: 0, endedAt: 10, originStatus: 500, outcome: 'unknown' }),
      attemptOf({
        fence: 2,
        startedAt: 20,
        endedAt: 30,
        originStatus: 503,
        outcome: 'not_executed',
      }),
    ]
    // It is unknown since the first call that may have been executed.
    expect(timelineOf(unknownOf({ attempts, settledAt: 10 }))).toEqual([
      [0, 'created'],
      [0, 'claimed'],
      [10, 'ended'],
      [10, 'unknown'],
      [20, 'claimed'],
      [30, 'ended'],
    ])
  })

  it.each([
    { outcome: 'failed', what: 'failed' },
    // Of an earlier version, which did not keep it.
    { outcome: undefined, what: 'settled' },
  ] as const)('says of what has expired how it ended ($what)', ({ outcome, what }) => {
    const attempts = [attemptOf({ endedAt: 7, outcome: 'failed' })]
    const ended = { attempts, settledAt: 7, expiresAt: 1_000, ...(outcome && { outcome }) }
    expect(timelineOf(tombstoneOf(ended))).toEqual([
      [0, 'created'],
      [0, 'claimed'],
      [7, 'ended'],
      [7, what],
      [1_000, 'expired'],
    ])
  })

  it('says nothing of an end that is not there', () => {
    expect(timelineOf(runningOf())).toEqual([
      [0, 'created'],
      [0, 'claimed'],
    ])
  })
})

const RELEASE: OperatorAction = { kind: 'release' }
const ERASE: OperatorAction = { kind: 'erase' }
const NOT_EXECUTED = { kind: 'resolve', outcome: 'not_executed' } as const
const SUCCEEDED = {
  kind: 'resolve',
  outcome: 'succeeded',
  status: 201,
  headers: [],
  body: new Uint8Array([1, 2]),
} as const

describe('refuseAction', () => {
  const leased = runningOf({ owner: { kind: 'worker', leaseUntil: 1_000 } })
  it.each([
    { name: 'release what a Worker holds', action: RELEASE, record: leased },
    {
      name: 'release what was lost in the second call',
      action: RELEASE,
      record: runningOf({ attempts: attemptsOf('not_executed', null) }),
    },
    { name: 'resolve what is unknown', action: NOT_EXECUTED, record: unknownOf() },
    { name: 'resolve what is unknown as executed', action: SUCCEEDED, record: unknownOf() },
    { name: 'erase what a Worker holds', action: ERASE, record: leased },
    { name: 'erase what is unknown', action: ERASE, record: unknownOf() },
    { name: 'erase what has succeeded', action: ERASE, record: settledOf() },
    { name: 'erase what has expired', action: ERASE, record: tombstoneOf() },
  ])('lets an operator $name', ({ action, record }) => {
    expect(refuseAction(action, record, false)).toBeNull()
    expect(refuseAction(action, record, true)).toContain('is being called for it right now')
  })

  it.each([
    {
      name: 'release what is unknown',
      action: RELEASE,
      record: unknownOf(),
      because: 'this one is unknown',
    },
    {
      name: 'release what has succeeded',
      action: RELEASE,
      record: settledOf(),
      because: 'this one is succeeded',
    },
    {
      name: 'release what was not executed',
      action: RELEASE,
      record: runningOf({ attempts: attemptsOf('not_executed') }),
      because: 'Nobody holds it',
    },
    {
      name: 'resolve what is in progress',
      action: NOT_EXECUTED,
      record: leased,
      because: 'this one is in_progress',
    },
    {
      name: 'resolve what has failed',
      action: SUCCEEDED,
      record: settledOf({ state: 'failed' }),
      because: 'this one is failed',
    },
    {
      name: 'resolve what has expired',
      action: SUCCEEDED,
      record: tombstoneOf(),
      because: 'this one is expired',
    },
  ])('does not let an operator $name', ({ action, record, because }) => {
    expect(refuseAction(action, record, false)).toContain(because)
  })
})

describe('toOperatorSettlement', () => {
  const attempts = [attemptOf({ endedAt: 9, originStatus: 500, outcome: 'unknown' })]
  const settle = (record: OperationRecord, action: typeof SUCCEEDED | typeof NOT_EXECUTED) =>
    decideSettle(record, claimRefOf(), toOperatorSettlement(action, record), 100)

  it('keeps the response for as long as the route says, and the evidence of the call', () => {
    const decision = settle(unknownOf({ attempts }), SUCCEEDED)
    expect(decision).toMatchObject({
      kind: 'store',
      record: {
        state: 'succeeded',
        settledAt: 100,
        expiresAt: 1_100,
        snapshot: { status: 201, bodyBytes: 2, body: 'kept', corsOrigin: null },
        attempts: [{ originStatus: 500, outcome: 'succeeded' }],
      },
    })
  })

  it('says of a response without a body that it has none', () => {
    const settlement = toOperatorSettlement(
      { ...SUCCEEDED, status: 204, body: new Uint8Array() },
      unknownOf(),
    )
    expect(settlement).toMatchObject({ snapshot: { bodyBytes: 0, body: 'none' } })
  })

  it.each([
    { name: 'frees the key', record: unknownOf({ attempts }), expected: { kind: 'release' } },
    {
      name: 'frees the key of what nobody comes back for',
      record: unknownOf({ attempts, recovery: resendOf({ isDurable: true }) }),
      expected: { kind: 'release' },
    },
    {
      name: 'frees the key where the request is not stored',
      record: unknownOf({ attempts, isAccepted: true }),
      expected: { kind: 'release' },
    },
    {
      name: 'lets an accepted one whose request is stored go on, none of its calls in doubt',
      record: unknownOf({
        attempts: attemptsOf('unknown'),
        isAccepted: true,
        recovery: durableHoldOf(),
      }),
      expected: {
        kind: 'store',
        record: { state: 'in_progress', attempts: [{ outcome: 'not_executed' }] },
      },
    },
  ])('$name where it says not executed', ({ record, expected }) => {
    expect(settle(record, NOT_EXECUTED)).toMatchObject(expected)
  })
})
