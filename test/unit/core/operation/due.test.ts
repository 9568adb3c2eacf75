import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { claimAgain } from '../../../../src/core/operation/claim.ts'
import { decideAlarm, dueAt } from '../../../../src/core/operation/due.ts'
import type { InProgressRecord, UnknownRecord } from '../../../../src/core/operation/record.ts'
import { decideSettle } from '../../../../src/core/operation/settle.ts'
import {
  attemptOf,
  attemptsOf,
  claimRefOf,
  durableHoldOf,
  factsOf,
  HOLD,
  probeOf,
  resendOf,
  runningOf,
  settledOf,
  tombstoneOf,
  unknownOf,
} from '../../../fakes/build.ts'

const leasedUntil = (leaseUntil: number) => runningOf({ owner: { kind: 'worker', leaseUntil } })

describe('decideAlarm', () => {
  it.each([
    {
      name: 'a call that runs',
      record: runningOf(),
      facts: factsOf({ now: 1e12, isRunning: true }),
      expected: { kind: 'keep' },
    },
    {
      name: 'a call whose object has restarted',
      record: runningOf(),
      facts: factsOf(),
      expected: {
        kind: 'store',
        record: { state: 'unknown', reason: 'owner-lost', settledAt: 500, expiresAt: null },
      },
    },
    {
      name: 'a lease with a millisecond left',
      record: leasedUntil(501),
      facts: factsOf(),
      expected: { kind: 'keep' },
    },
    {
      name: 'a lease that has just ended',
      record: leasedUntil(500),
      facts: factsOf(),
      expected: { kind: 'store', record: { state: 'unknown', reason: 'owner-lost' } },
    },
    {
      name: 'a result in its last millisecond',
      record: settledOf({ tombstoneMs: 2_000 }),
      facts: factsOf({ now: 999 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'a result that its own client still reads',
      record: settledOf(),
      facts: factsOf({ now: 1e12, isBeingRead: true }),
      expected: { kind: 'keep' },
    },
    {
      name: 'a result that has just expired',
      record: settledOf({ tombstoneMs: 2_000 }),
      facts: factsOf({ now: 1_000 }),
      expected: { kind: 'store', record: tombstoneOf() },
    },
    {
      name: 'a result that has just expired, without a tombstone',
      record: settledOf(),
      facts: factsOf({ now: 1_000 }),
      expected: { kind: 'forget' },
    },
    {
      name: 'what is held, however long',
      record: unknownOf({ tombstoneMs: 2_000 }),
      facts: factsOf({ now: 1e15 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what could be sent again, in its last millisecond',
      record: unknownOf({ recovery: resendOf(), expiresAt: 1_000, tombstoneMs: 2_000 }),
      facts: factsOf({ now: 999 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what could have been sent again and has just expired',
      record: unknownOf({ recovery: resendOf(), expiresAt: 1_000, tombstoneMs: 2_000 }),
      facts: factsOf({ now: 1_000 }),
      expected: { kind: 'store', record: { ...tombstoneOf(), recovery: resendOf() } },
    },
    {
      name: 'what has expired while the origin is called about it',
      record: unknownOf({ recovery: resendOf(), expiresAt: 1_000 }),
      facts: factsOf({ now: 1_000, isRunning: true }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what is to be asked about in a millisecond',
      record: unknownOf({ recovery: probeOf(), retentionMs: 60_000 }),
      facts: factsOf({ now: 4_999 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what is to be asked about',
      record: unknownOf({ recovery: probeOf(), retentionMs: 60_000 }),
      facts: factsOf({ now: 5_000 }),
      expected: { kind: 'recover', record: { recoveryCount: 1, recoveryAt: 15_000 } },
    },
    {
      name: 'what is asked about within the grace, which ends before the next question would come',
      record: unknownOf({
        recovery: probeOf({ graceMs: 12_000 }),
        attempts: [attemptOf({ outcome: 'unknown', endedAt: 0 })],
        retentionMs: 60_000,
      }),
      facts: factsOf({ now: 5_000 }),
      expected: { kind: 'recover', record: { recoveryCount: 1, recoveryAt: 12_000 } },
    },
    {
      name: 'what is asked about within the grace, which ends behind the next question',
      record: unknownOf({
        recovery: probeOf({ graceMs: 30_000 }),
        attempts: [attemptOf({ outcome: 'unknown', endedAt: 0 })],
        retentionMs: 60_000,
      }),
      facts: factsOf({ now: 5_000 }),
      expected: { kind: 'recover', record: { recoveryCount: 1, recoveryAt: 15_000 } },
    },
    {
      name: 'what is asked about when the grace has ended',
      record: unknownOf({
        recovery: probeOf({ graceMs: 5_000 }),
        attempts: [attemptOf({ outcome: 'unknown', endedAt: 0 })],
        retentionMs: 60_000,
      }),
      facts: factsOf({ now: 5_000 }),
      expected: { kind: 'recover', record: { recoveryCount: 1, recoveryAt: 15_000 } },
    },
    {
      name: 'what was asked about for as long as results are kept, but not behind the grace',
      record: unknownOf({ recovery: probeOf({ graceMs: 10 }), retentionMs: 60_000 }),
      facts: factsOf({ now: 60_009 }),
      expected: { kind: 'recover' },
    },
    {
      name: 'what was asked about for as long as results are kept, and behind the grace',
      record: unknownOf({ recovery: probeOf({ graceMs: 10 }), retentionMs: 60_000 }),
      facts: factsOf({ now: 60_010 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what is asked about already',
      record: unknownOf({ recovery: probeOf(), retentionMs: 60_000 }),
      facts: factsOf({ now: 5_000, isRunning: true }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what was asked about for nearly as long as results are kept',
      record: unknownOf({ recovery: probeOf(), retentionMs: 60_000 }),
      facts: factsOf({ now: 59_999 }),
      expected: { kind: 'recover' },
    },
    {
      name: 'what was asked about for as long as results are kept',
      record: unknownOf({ recovery: probeOf(), retentionMs: 60_000 }),
      facts: factsOf({ now: 60_000 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'what is to be sent again and is stored',
      record: unknownOf({
        recovery: resendOf({ isDurable: true }),
        retentionMs: 60_000,
        expiresAt: 60_000,
      }),
      facts: factsOf({ now: 5_000 }),
      expected: { kind: 'recover', record: { recoveryCount: 1 } },
    },
    {
      name: 'what is to be sent again and is not stored',
      record: unknownOf({ recovery: resendOf(), retentionMs: 60_000, expiresAt: 60_000 }),
      facts: factsOf({ now: 5_000 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'an orphan that can be asked about, at once',
      record: runningOf({ recovery: probeOf() }),
      facts: factsOf(),
      expected: {
        kind: 'recover',
        record: { state: 'unknown', reason: 'owner-lost', settledAt: 500, recoveryAt: 10_500 },
      },
    },
    {
      name: 'an orphan that is stored, at once',
      record: runningOf({ recovery: resendOf({ isDurable: true }) }),
      facts: factsOf(),
      expected: { kind: 'recover', record: { state: 'unknown', recoveryCount: 1 } },
    },
    {
      name: 'an orphan whose request is gone',
      record: runningOf({ recovery: resendOf() }),
      facts: factsOf(),
      expected: { kind: 'store', record: { state: 'unknown', expiresAt: 1_500 } },
    },
    {
      name: 'a pause after a call that was not executed',
      record: runningOf({ attempts: attemptsOf('not_executed') }),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'keep' },
    },
    {
      name: 'an orphan whose last call was not executed',
      record: runningOf({ attempts: attemptsOf('not_executed') }),
      facts: factsOf(),
      expected: { kind: 'forget' },
    },
    {
      name: 'an orphan whose last call was not executed, and that is stored',
      record: runningOf({
        attempts: attemptsOf('not_executed'),
        recovery: resendOf({ isDurable: true }),
      }),
      facts: factsOf(),
      expected: { kind: 'recover', record: { state: 'unknown', recoveryCount: 1 } },
    },
    {
      name: 'a tombstone in its last millisecond',
      record: tombstoneOf(),
      facts: factsOf({ now: 2_999 }),
      expected: { kind: 'keep' },
    },
    {
      name: 'a tombstone that has just ended',
      record: tombstoneOf(),
      facts: factsOf({ now: 3_000 }),
      expected: { kind: 'forget' },
    },
    {
      name: 'a result whose tombstone ended while no alarm came',
      record: settledOf({ tombstoneMs: 2_000 }),
      facts: factsOf({ now: 3_000 }),
      expected: { kind: 'forget' },
    },
  ])('decides $expected.kind for $name', ({ record, facts, expected }) => {
    expect(decideAlarm(record, facts)).toMatchObject(expected)
  })

  it('does not free a key of which one call is unknown and the last was not executed', () => {
    const attempts = attemptsOf('unknown', 'not_executed')
    const record = runningOf({ recovery: resendOf(), fence: 2, attempts })
    expect(decideAlarm(record, factsOf())).toMatchObject({ kind: 'store' })
  })
})

describe('decideAlarm about an operation that is to be driven to its end', () => {
  const stored = { isAccepted: true, recovery: durableHoldOf(), retentionMs: 60_000 }
  const waiting = runningOf({ ...stored, attempts: attemptsOf('not_executed') })

  it.each([
    {
      name: 'sends it again where no call was executed',
      record: waiting,
      now: 5_000,
      expected: { kind: 'recover', record: { state: 'unknown', isAccepted: true } },
    },
    {
      name: 'sends it again in the last millisecond in which results are kept',
      record: waiting,
      now: 59_999,
      expected: { kind: 'recover' },
    },
    {
      name: 'forgets it when results would no longer be kept',
      record: waiting,
      now: 60_000,
      expected: { kind: 'forget' },
    },
    {
      name: 'holds what may have been executed, and does not send it',
      record: runningOf({ ...stored, attempts: attemptsOf('unknown', 'not_executed') }),
      now: 5_000,
      expected: { kind: 'store', record: { state: 'unknown', reason: 'owner-lost' } },
    },
    {
      name: 'leaves what is held alone',
      record: unknownOf({ ...stored, attempts: attemptsOf('unknown') }),
      now: 5_000,
      expected: { kind: 'keep' },
    },
    {
      name: 'sends what it was about to send when its object went',
      record: unknownOf({ ...stored, attempts: attemptsOf('not_executed') }),
      now: 5_000,
      expected: { kind: 'recover', record: { recoveryCount: 1 } },
    },
    {
      name: 'forgets that, too, when results would no longer be kept',
      record: unknownOf({ ...stored, attempts: attemptsOf('not_executed') }),
      now: 60_000,
      expected: { kind: 'forget' },
    },
    {
      name: 'forgets what was not executed and is not stored',
      record: unknownOf({ isAccepted: true, attempts: attemptsOf('not_executed') }),
      now: 500,
      expected: { kind: 'forget' },
    },
  ])('$name', ({ record, now, expected }) => {
    expect(decideAlarm(record, factsOf({ now }))).toMatchObject(expected)
  })

  it('does not send it while it runs', () => {
    const facts = factsOf({ now: 5_000, isRunning: true })
    expect(decideAlarm(waiting, facts)).toEqual({ kind: 'keep' })
  })

  it.each([
    { name: 'held', recovery: durableHoldOf() },
    { name: 'sent again', recovery: resendOf({ isDurable: true }) },
  ])(
    'comes 5 s, 10 s, 20 s … 5 min after calls that were not executed, where it is $name',
    (row) => {
      let record = runningOf({ ...stored, recovery: row.recovery, retentionMs: 3_600_000 })
      const delays: number[] = []
      for (let now = 0; delays.length < 9; now += delays.at(-1) ?? 0) {
        record = sendInVain(record, now)
        delays.push((dueAt(record, now) ?? Infinity) - now)
      }
      const seconds = [5, 10, 20, 40, 80, 160, 300, 300, 300]
      expect(delays).toEqual(seconds.map((each) => each * 1_000))
    },
  )

  it('comes ever more seldom to what stays unknown, and gives it up with its retention', () => {
    const recovery = resendOf({ isDurable: true })
    let record = unknownOf({ recovery, retentionMs: 60_000, expiresAt: 60_000 })
    const times: number[] = []
    for (let calls = 0; calls < 10; calls++) {
      const now = dueAt(record, times.at(-1) ?? 0) ?? Infinity
      const decision = decideAlarm(record, factsOf({ now }))
      if (decision.kind !== 'recover') break
      times.push(now)
      record = leaveUnknown(decision.record, now)
    }
    expect(times).toEqual([5_000, 15_000, 35_000])
  })

  /** What a call leaves of a record that the origin has answered with 500. */
  function leaveUnknown(record: UnknownRecord, now: number): UnknownRecord {
    const next = { claimId: 'claim-1', owner: { kind: 'object' }, isResolved: false } as const
    const sent = claimAgain(record, next, now)
    const evidence = { originStatus: 500, fault: null }
    const settlement = { outcome: 'unknown', reason: 'origin-answered', evidence } as const
    const settled = decideSettle(sent, claimRefOf({ fence: sent.fence }), settlement, now)
    if (settled.kind !== 'store' || settled.record.state !== 'unknown') {
      throw new Error('It is unknown again.')
    }
    return settled.record
  }

  /** What the alarm and the call that it makes leave of a record. */
  function sendInVain(record: InProgressRecord, now: number): InProgressRecord {
    const decision = decideAlarm(record, factsOf({ now }))
    const isFirst = record.attempts.at(-1)?.outcome === null
    if (!isFirst && decision.kind !== 'recover') throw new Error('It is sent again.')
    const next = { claimId: 'claim-1', owner: { kind: 'object' }, isResolved: false } as const
    const known = decision.kind === 'recover' ? decision.record : record
    const sent = isFirst ? record : claimAgain(known, next, now)
    const evidence = { originStatus: 503, fault: null }
    const settlement = { outcome: 'not_executed', coversAll: false, evidence } as const
    const settled = decideSettle(sent, claimRefOf({ fence: sent.fence }), settlement, now)
    if (settled.kind !== 'store' || settled.record.state !== 'in_progress') {
      throw new Error('It stays in progress.')
    }
    return settled.record
  }
})

describe('dueAt', () => {
  it.each([
    { name: 'a claim just made', record: runningOf(), now: 0, expected: 5_000 },
    { name: 'a claim of 5 s', record: runningOf(), now: 5_000, expected: 10_000 },
    { name: 'a claim of 8 s', record: runningOf(), now: 8_000, expected: 16_000 },
    { name: 'a claim of an hour', record: runningOf(), now: 3_600_000, expected: 3_900_000 },
    { name: 'a lease of a minute', record: leasedUntil(60_000), now: 0, expected: 60_000 },
    { name: 'a lease that is nearly over', record: leasedUntil(1_000), now: 0, expected: 5_000 },
    {
      name: 'what was refused, and asks to be left alone',
      record: runningOf({
        retentionMs: 60_000,
        attempts: [attemptOf({ endedAt: 100, outcome: 'not_executed', retryAfterMs: 30_000 })],
      }),
      now: 500,
      expected: 30_100,
    },
    {
      name: 'what runs again behind such a one',
      record: runningOf({
        retentionMs: 60_000,
        attempts: [
          attemptOf({ endedAt: 100, outcome: 'not_executed', retryAfterMs: 30_000 }),
          attemptOf({ fence: 2 }),
        ],
      }),
      now: 500,
      expected: 5_500,
    },
    { name: 'a result', record: settledOf(), now: 500, expected: 1_000 },
    { name: 'a failure', record: settledOf({ state: 'failed' }), now: 500, expected: 1_000 },
    { name: 'a result that is still read', record: settledOf(), now: 1_000, expected: 61_000 },
    { name: 'what is held', record: unknownOf(), now: 500, expected: null },
    {
      name: 'what is to be asked about',
      record: unknownOf({ recovery: probeOf(), retentionMs: 60_000 }),
      now: 500,
      expected: 5_000,
    },
    {
      name: 'what was asked about for long enough',
      record: unknownOf({ recovery: probeOf() }),
      now: 1_000,
      expected: null,
    },
    {
      name: 'what is to be sent again and is stored',
      record: unknownOf({
        recovery: resendOf({ isDurable: true }),
        retentionMs: 60_000,
        expiresAt: 60_000,
      }),
      now: 500,
      expected: 5_000,
    },
    {
      name: 'what is to be sent again and expires before',
      record: unknownOf({ recovery: resendOf({ isDurable: true }), expiresAt: 1_000 }),
      now: 500,
      expected: 1_000,
    },
    {
      name: 'what is to be sent again and is not stored',
      record: unknownOf({ recovery: resendOf(), expiresAt: 1_000 }),
      now: 500,
      expected: 1_000,
    },
    { name: 'a tombstone', record: tombstoneOf(), now: 1_000, expected: 3_000 },
  ])('looks at $name at $expected', ({ record, now, expected }) => {
    expect(dueAt(record, now)).toBe(expected)
  })

  it('lies ahead of whatever an alarm has kept or stored, so that no alarm spins', () => {
    const ms = fc.nat(100_000)
    const retentionMs = fc.integer({ min: 1, max: 100_000 })
    const owner = fc.oneof(
      fc.constant({ kind: 'object' } as const),
      ms.map((leaseUntil) => ({ kind: 'worker', leaseUntil }) as const),
    )
    const recovery = fc.constantFrom(
      HOLD,
      durableHoldOf(),
      probeOf(),
      resendOf(),
      resendOf({ isDurable: true }),
    )
    const attempts = fc.constantFrom(attemptsOf(null), attemptsOf('not_executed'))
    const unknown = fc
      .record({ recovery, attempts, settledAt: ms, retentionMs, recoveryAt: ms })
      .map((over) => unknownOf({ ...over, claimedAt: over.settledAt }))
    const record = fc.oneof(
      fc
        .record({ claimedAt: ms, owner, recovery, attempts, retentionMs })
        .map((over) => runningOf(over)),
      unknown.map((held) =>
        held.recovery.kind === 'resend'
          ? { ...held, expiresAt: held.settledAt + held.retentionMs }
          : held,
      ),
      fc.tuple(ms, ms).map(([expiresAt, tombstoneMs]) => settledOf({ expiresAt, tombstoneMs })),
      fc.tuple(ms, ms).map(([expiresAt, tombstoneMs]) => tombstoneOf({ expiresAt, tombstoneMs })),
    )
    fc.assert(
      fc.property(
        record,
        ms,
        fc.boolean(),
        fc.boolean(),
        (before, sinceMs, isRunning, isBeingRead) => {
          const now = before.claimedAt + sinceMs
          const decision = decideAlarm(before, { now, isRunning, isBeingRead })
          if (decision.kind === 'forget') return
          const due = dueAt(decision.kind === 'keep' ? before : decision.record, now)
          expect(due ?? Infinity).toBeGreaterThan(now)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it('lies ahead of now while the origin is asked, though what was resent has expired', () => {
    const record = unknownOf({ recovery: resendOf(), expiresAt: 1_000 })
    expect(decideAlarm(record, factsOf({ now: 1_000, isRunning: true }))).toEqual({ kind: 'keep' })
    expect(dueAt(record, 1_000) ?? Infinity).toBeGreaterThan(1_000)
  })

  it('lies ahead of now while the origin is asked about what no call was executed of', () => {
    const recovery = probeOf({ isDurable: true })
    const record = unknownOf({ recovery, attempts: attemptsOf('not_executed') })
    expect(decideAlarm(record, factsOf({ now: 1_000, isRunning: true }))).toEqual({ kind: 'keep' })
    expect(decideAlarm(record, factsOf({ now: 1_000 }))).toEqual({ kind: 'forget' })
    expect(dueAt(record, 1_000) ?? 0).toBeGreaterThan(1_000)
  })

  it('lies ahead of now while the origin is asked, though a recovery is due', () => {
    const record = unknownOf({ recovery: probeOf(), retentionMs: 60_000, recoveryAt: 5_000 })
    expect(decideAlarm(record, factsOf({ now: 5_000, isRunning: true }))).toEqual({ kind: 'keep' })
    expect(dueAt(record, 5_000) ?? Infinity).toBeGreaterThan(5_000)
  })
})
