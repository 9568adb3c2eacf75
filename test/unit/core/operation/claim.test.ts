import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { isUnexecuted } from '../../../../src/core/operation/attempts.ts'
import {
  asOf,
  claimAgain,
  claimResolved,
  decideClaim,
  isAlive,
  isNew,
  postpone,
  tighten,
  toGranted,
  toUnknown,
} from '../../../../src/core/operation/claim.ts'
import {
  type Attempt,
  type InProgressRecord,
  NewerRecord,
  parseRecord,
} from '../../../../src/core/operation/record.ts'
import type { Recovery } from '../../../../src/core/operation/recovery.ts'
import {
  isExpired,
  isForgotten,
  remember,
  toTombstone,
} from '../../../../src/core/operation/retention.ts'
import {
  attemptOf,
  attemptsOf,
  claimRefOf,
  durableHoldOf,
  factsOf,
  HOLD,
  probeOf,
  requestOf,
  resendOf,
  selfProbeOf,
  runningOf,
  settledOf,
  tombstoneOf,
  unknownOf,
} from '../../../fakes/build.ts'

const DAY_MS = 86_400_000

/** A claim whose last call has ended so. */
function endedWith(record: InProgressRecord, end: Partial<Attempt>): InProgressRecord {
  return { ...record, attempts: [...record.attempts.slice(0, -1), attemptOf(end)] }
}

const leasedUntil = (leaseUntil: number) => runningOf({ owner: { kind: 'worker', leaseUntil } })

describe('decideClaim', () => {
  it.each([
    {
      when: 'the key is new',
      record: null,
      facts: factsOf(),
      expected: { kind: 'execute', record: { fence: 1, createdAt: 500, claimedAt: 500 } },
    },
    {
      when: 'its object runs the call',
      record: runningOf(),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'in_flight', running: { fence: 1 } },
    },
    {
      when: 'its object has restarted since',
      record: runningOf(),
      facts: factsOf(),
      expected: {
        kind: 'hold',
        record: { state: 'unknown', reason: 'owner-lost', settledAt: 500, expiresAt: null },
      },
    },
    {
      when: 'the lease of its Worker has a millisecond left',
      record: leasedUntil(501),
      facts: factsOf(),
      expected: { kind: 'in_flight', running: { fence: 1 } },
    },
    {
      when: 'the lease of its Worker has just ended',
      record: leasedUntil(500),
      facts: factsOf(),
      expected: { kind: 'hold', record: { state: 'unknown', reason: 'owner-lost' } },
    },
    {
      when: 'the lease has ended, though a flight of it is in memory',
      record: leasedUntil(500),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'hold', record: { reason: 'owner-lost' } },
    },
    {
      when: 'the outcome is unknown',
      record: unknownOf(),
      facts: factsOf(),
      expected: { kind: 'hold', record: unknownOf() },
    },
    {
      when: 'it has succeeded',
      record: settledOf(),
      facts: factsOf(),
      expected: { kind: 'replay', settled: settledOf() },
    },
    {
      when: 'it has failed',
      record: settledOf({ state: 'failed' }),
      facts: factsOf(),
      expected: { kind: 'replay', settled: { state: 'failed' } },
    },
    {
      when: 'its retention has a millisecond left',
      record: settledOf(),
      facts: factsOf({ now: 999 }),
      expected: { kind: 'replay' },
    },
    {
      when: 'its retention has just ended',
      record: settledOf(),
      facts: factsOf({ now: 1_000 }),
      expected: { kind: 'execute', record: { fence: 1, createdAt: 1_000 } },
    },
    {
      when: 'its retention has just ended and late retries are refused',
      record: settledOf({ tombstoneMs: 2_000 }),
      facts: factsOf({ now: 1_000 }),
      expected: { kind: 'expired' },
    },
    {
      when: 'its tombstone has a millisecond left',
      record: tombstoneOf(),
      facts: factsOf({ now: 2_999 }),
      expected: { kind: 'expired' },
    },
    {
      when: 'its tombstone has just ended',
      record: tombstoneOf(),
      facts: factsOf({ now: 3_000 }),
      expected: { kind: 'execute', record: { fence: 1, createdAt: 3_000 } },
    },
    {
      when: 'it has been held for a thousand times its retention',
      record: unknownOf(),
      facts: factsOf({ now: 1_000_000 }),
      expected: { kind: 'hold', record: unknownOf() },
    },
    {
      when: 'it was to be sent again for as long as its retention, and is held by now',
      record: unknownOf({ recovery: resendOf(), expiresAt: 1_000 }),
      facts: factsOf({ now: 1_000 }),
      expected: { kind: 'hold', record: { fence: 1, recovery: { kind: 'hold' }, expiresAt: null } },
    },
    {
      when: 'it was to be refused after its retention, and is held by now',
      record: unknownOf({ recovery: resendOf(), expiresAt: 400, tombstoneMs: 2_000 }),
      facts: factsOf(),
      expected: { kind: 'hold', record: { expiresAt: null } },
    },
    {
      when: 'the origin is asked about it right now',
      record: unknownOf(),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'in_flight', running: unknownOf() },
    },
    {
      when: 'the origin is still asked about it though its retention has ended',
      record: unknownOf({ expiresAt: 400 }),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'in_flight' },
    },
    {
      when: 'its object has restarted between two calls, the last of which was not executed',
      record: runningOf({ attempts: attemptsOf('not_executed') }),
      facts: factsOf(),
      expected: { kind: 'execute', record: { fence: 2, createdAt: 0, claimedAt: 500 } },
    },
    {
      when: 'its object is between two calls, the last of which was not executed',
      record: runningOf({ attempts: attemptsOf('not_executed') }),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'in_flight', running: { fence: 1 } },
    },
    {
      when: 'its object has restarted during a call that followed one not executed',
      record: runningOf({ fence: 2, attempts: attemptsOf('not_executed', null) }),
      facts: factsOf(),
      expected: { kind: 'hold', record: { reason: 'owner-lost' } },
    },
    {
      when: 'an alarm was about to send what was not executed, and its object has restarted',
      record: unknownOf({ recovery: durableHoldOf(), attempts: attemptsOf('not_executed') }),
      facts: factsOf(),
      expected: { kind: 'execute', record: { fence: 2, createdAt: 0, claimedAt: 500 } },
    },
    {
      when: 'an alarm sends right now what was not executed',
      record: unknownOf({ recovery: durableHoldOf(), attempts: attemptsOf('not_executed') }),
      facts: factsOf({ isRunning: true }),
      expected: { kind: 'in_flight', running: { state: 'unknown' } },
    },
    {
      when: 'it has run for longer than its retention',
      record: runningOf(),
      facts: factsOf({ now: 1_000_000, isRunning: true }),
      expected: { kind: 'in_flight' },
    },
  ])('answers $expected.kind when $when', ({ record, facts, expected }) => {
    expect(decideClaim(record, requestOf(), facts)).toMatchObject(expected)
  })

  it.each([
    { state: 'runs', record: runningOf(), isRunning: true },
    { state: 'has lost its owner', record: runningOf(), isRunning: false },
    { state: 'is unknown', record: unknownOf(), isRunning: false },
    { state: 'has succeeded', record: settledOf(), isRunning: false },
    { state: 'has failed', record: settledOf({ state: 'failed' }), isRunning: false },
  ])('reports another payload first, where the operation $state', ({ record, isRunning }) => {
    const request = requestOf({ fingerprint: 'v1:b', recovery: resendOf() })
    const decision = decideClaim(record, request, factsOf({ isRunning }))
    expect(decision).toEqual({ kind: 'mismatch', known: record })
  })

  it.each([
    { name: 'the same payload', fingerprint: 'v1:a', isOther: false },
    { name: 'another payload', fingerprint: 'v1:b', isOther: true },
  ])('refuses $name on an expired key', ({ fingerprint, isOther }) => {
    const decision = decideClaim(tombstoneOf(), requestOf({ fingerprint }), factsOf({ now: 2_000 }))
    expect(decision).toEqual({ kind: 'expired', known: tombstoneOf(), isOther })
  })

  it.each([
    { when: 'its retention has just ended', record: settledOf(), now: 1_000 },
    { when: 'its tombstone has just ended', record: tombstoneOf(), now: 3_000 },
    { when: 'there is nothing', record: null, now: 0 },
  ])('does not begin what must be known where $when', ({ record, now }) => {
    const decision = decideClaim(record, requestOf({ mustBeKnown: true }), factsOf({ now }))
    expect(decision).toEqual({ kind: 'expired', known: null, isOther: false })
  })

  it('sends what must be known again where its policy says so', () => {
    const recovery = resendOf()
    const request = requestOf({ mustBeKnown: true, recovery })
    expect(decideClaim(unknownOf({ recovery }), request, factsOf()).kind).toBe('execute')
  })

  it.each([
    { name: 'an unknown outcome', known: unknownOf({ fence: 3, createdAt: 7 }) },
    { name: 'a claim whose owner is lost', known: runningOf({ fence: 3, createdAt: 7 }) },
  ])('executes $name again under resend, as the next attempt', ({ known }) => {
    const record = { ...known, recovery: resendOf() }
    const decision = decideClaim(record, requestOf({ recovery: resendOf() }), factsOf())
    expect(decision).toMatchObject({
      kind: 'execute',
      record: { fence: 4, claimId: 'claim-2', createdAt: 7, claimedAt: 500 },
    })
  })

  it.each([
    { name: 'a call that runs', record: runningOf(), kind: 'in_flight' },
    { name: 'a result', record: settledOf(), kind: 'replay' },
  ])('does not execute $name again under resend', ({ record, kind }) => {
    const facts = factsOf({ isRunning: true })
    expect(decideClaim(record, requestOf({ recovery: resendOf() }), facts)).toMatchObject({ kind })
  })

  it.each([
    { origin: 'payments', version: 2 },
    { origin: undefined, version: 1 },
  ])('has version $version in its record with the origin $origin', ({ origin, version }) => {
    // A version of Hapax that knows no named origins would call the deployment's own.
    const claimed = decideClaim(null, requestOf(origin === undefined ? {} : { origin }), factsOf())
    expect(claimed).toMatchObject({ kind: 'execute', record: { version } })
    const record = 'record' in claimed ? claimed.record : null
    expect(parseRecord(JSON.stringify(record))).toEqual(record)
    const newer = JSON.stringify({ ...record, version: 3 })
    expect(() => parseRecord(newer)).toThrow(NewerRecord)
  })

  it.each([
    { who: 'its object', leaseMs: null, owner: { kind: 'object' } },
    { who: 'a Worker', leaseMs: 60_000, owner: { kind: 'worker', leaseUntil: 60_500 } },
  ])('records all that a claim run by $who brings along', ({ leaseMs, owner }) => {
    const accepted = { isAccepted: true, reauthorizePath: '/may-read' }
    const request = requestOf({ leaseMs, tombstoneMs: 2_000, ...accepted })
    const decision = decideClaim(null, request, factsOf())
    expect(decision).toEqual({
      kind: 'execute',
      record: {
        version: 1,
        state: 'in_progress',
        operation: 'POST /payments',
        tenant: 'tenant-1',
        fingerprint: 'v1:a',
        places: 'places',
        claimId: 'claim-2',
        correlationId: 'correlation-2',
        traceparent: '',
        events: [],
        retentionMs: 1_000,
        tombstoneMs: 2_000,
        fence: 1,
        createdAt: 500,
        claimedAt: 500,
        recovery: HOLD,
        isAccepted: true,
        reauthorizePath: '/may-read',
        attempts: [attemptOf({ startedAt: 500 })],
        owner,
      },
    })
  })

  it('judges expiry by the word of its own route, whichever route the key is sent to', () => {
    const known = settledOf({ settledAt: 0, expiresAt: 400, retentionMs: 400, tombstoneMs: 1_000 })
    const request = requestOf({
      operation: 'POST /refunds',
      fingerprint: 'v1:b',
      retentionMs: 9_000,
    })
    expect(decideClaim(known, request, factsOf())).toMatchObject({ kind: 'expired', isOther: true })
  })

  it.each([
    { name: 'of the first request', places: '', expected: 'places' },
    { name: 'that it brings along', places: 'its own', expected: 'its own' },
  ])('keeps with a later claim the places $name', ({ places, expected }) => {
    const record = unknownOf({ recovery: resendOf() })
    const decision = decideClaim(record, requestOf({ recovery: resendOf(), places }), factsOf())
    expect(decision).toMatchObject({ kind: 'execute', record: { fence: 2, places: expected } })
  })

  it.each([
    { name: 'an unknown outcome', record: unknownOf({ recovery: probeOf() }) },
    { name: 'a claim whose owner is lost', record: runningOf({ recovery: probeOf() }) },
  ])('asks the origin about $name under probe, and does not execute', ({ record }) => {
    const decision = decideClaim(record, requestOf({ recovery: probeOf() }), factsOf())
    expect(decision).toMatchObject({
      kind: 'probe',
      record: { state: 'unknown', fence: 1, claimId: 'claim-1', expiresAt: null },
    })
  })

  it('keeps the evidence of the calls before when it executes again', () => {
    const attempts = [attemptOf({ outcome: 'unknown', originStatus: 500 })]
    const record = unknownOf({ recovery: resendOf(), attempts })
    const decision = decideClaim(record, requestOf({ recovery: resendOf() }), factsOf())
    expect(decision).toMatchObject({
      record: { attempts: [...attempts, attemptOf({ fence: 2, startedAt: 500 })] },
    })
  })

  it.each([
    { calls: 18, kept: 19 },
    { calls: 19, kept: 20 },
    { calls: 20, kept: 20 },
  ])('keeps $kept calls of $calls and one more', ({ calls, kept }) => {
    const attempts = attemptsOf(...Array.from({ length: calls }, () => 'unknown' as const))
    const record = unknownOf({ recovery: resendOf(), fence: calls, attempts })
    const decision = decideClaim(record, requestOf({ recovery: resendOf() }), factsOf())
    if (decision.kind !== 'execute') throw new Error('It is sent again.')
    expect(decision.record.attempts).toHaveLength(kept)
    expect(decision.record.attempts.at(-1)?.fence).toBe(calls + 1)
  })

  it.each([
    { when: 'its lease stands', facts: factsOf() },
    { when: 'its lease has ended and nobody has noticed', facts: factsOf({ now: 2_000 }) },
  ])('grants a Worker that asks again the claim that it has, when $when', ({ facts }) => {
    const record = leasedUntil(1_000)
    const decision = decideClaim(record, requestOf({ claimId: 'claim-1', leaseMs: 1_000 }), facts)
    expect(decision).toEqual({ kind: 'execute', record })
  })

  it.each([
    { name: 'a call that the object runs', record: runningOf(), kind: 'in_flight' },
    { name: 'an outcome that is unknown by now', record: unknownOf(), kind: 'hold' },
    { name: 'a result', record: settledOf(), kind: 'replay' },
  ])('grants nobody $name a second time by its name', ({ record, kind }) => {
    const facts = factsOf({ isRunning: record.state === 'in_progress' })
    expect(decideClaim(record, requestOf({ claimId: 'claim-1' }), facts)).toMatchObject({ kind })
  })

  it('holds an orphan of which one call is unknown, though the last was not executed', () => {
    const record = runningOf({ fence: 2, attempts: attemptsOf('unknown', 'not_executed') })
    expect(decideClaim(record, requestOf(), factsOf())).toMatchObject({ kind: 'hold' })
  })

  it.each([
    { was: 'held', now: 'held', before: HOLD, recovery: HOLD, kind: 'hold' },
    { was: 'held', now: 'asked about', before: HOLD, recovery: probeOf(), kind: 'probe' },
    { was: 'held', now: 'sent again', before: HOLD, recovery: resendOf(), kind: 'hold' },
    { was: 'asked about', now: 'held', before: probeOf(), recovery: HOLD, kind: 'hold' },
    {
      was: 'asked about',
      now: 'sent again',
      before: probeOf(),
      recovery: resendOf(),
      kind: 'probe',
    },
    { was: 'sent again', now: 'held', before: resendOf(), recovery: HOLD, kind: 'hold' },
    {
      was: 'sent again',
      now: 'asked about',
      before: resendOf(),
      recovery: probeOf(),
      kind: 'probe',
    },
    {
      was: 'sent again',
      now: 'sent again',
      before: resendOf(),
      recovery: resendOf(),
      kind: 'execute',
    },
    { was: 'held', now: 'asking first', before: HOLD, recovery: selfProbeOf(), kind: 'execute' },
    {
      was: 'sent again',
      now: 'asking first',
      before: resendOf(),
      recovery: selfProbeOf(),
      kind: 'execute',
    },
    {
      was: 'asking first',
      now: 'asking first',
      before: selfProbeOf(),
      recovery: selfProbeOf(),
      kind: 'execute',
    },
    {
      was: 'asking first',
      now: 'sent again',
      before: selfProbeOf(),
      recovery: resendOf(),
      kind: 'hold',
    },
    { was: 'asking first', now: 'held', before: selfProbeOf(), recovery: HOLD, kind: 'hold' },
    {
      was: 'asking first',
      now: 'asked about',
      before: selfProbeOf(),
      recovery: probeOf(),
      kind: 'probe',
    },
  ])('obeys the safer policy, where it was $was and is $now', (policy) => {
    const request = requestOf({ recovery: policy.recovery })
    for (const known of [unknownOf(), runningOf()]) {
      const decision = decideClaim({ ...known, recovery: policy.before }, request, factsOf())
      expect(decision.kind).toBe(policy.kind)
    }
  })

  it.each([
    {
      name: 'the route',
      before: resendOf(),
      recovery: { ...probeOf(), path: '/now' },
      path: '/now',
    },
    {
      name: 'the route, though the operation has one',
      before: { ...probeOf(), path: '/then' },
      recovery: { ...probeOf(), path: '/now' },
      path: '/now',
    },
    {
      name: 'the operation',
      before: { ...probeOf(), path: '/then' },
      recovery: resendOf(),
      path: '/then',
    },
  ])('asks the status resource of $name', ({ before, recovery, path }) => {
    const decision = decideClaim(
      unknownOf({ recovery: before }),
      requestOf({ recovery }),
      factsOf(),
    )
    expect(decision).toMatchObject({ kind: 'probe', recovery: { path } })
  })
})

// A fault of src that is known: an orphan that is born expired is judged as one that is not.
describe('decideClaim of an orphan that was lost longer than results are kept ago', () => {
  const record = runningOf({ recovery: resendOf(), tombstoneMs: 2_000 })
  const facts = factsOf({ now: 1_500 })

  it('decides the same whether or not an alarm has come', () => {
    const request = requestOf({ recovery: resendOf() })
    const stored = toUnknown(record, 'owner-lost', facts.now)
    const decision = decideClaim(stored, request, facts)
    expect(decision).toMatchObject({ kind: 'execute', record: { fence: 2, createdAt: 0 } })
    expect(decideClaim(record, request, facts)).toEqual(decision)
  })

  it('is seen the same whether or not an alarm has come', () => {
    const stored = toUnknown(record, 'owner-lost', facts.now)
    expect(stored).toMatchObject({ state: 'unknown', settledAt: 1_500, expiresAt: 2_500 })
    expect(asOf(stored, facts)).toEqual(stored)
    expect(asOf(record, facts)).toEqual(stored)
  })
})

describe('decideClaim of an operation whose client was told to come back', () => {
  const recovery = durableHoldOf()
  const unexecuted = { recovery, attempts: attemptsOf('not_executed') }

  it.each([
    { name: 'lost its owner', over: runningOf({ ...unexecuted, isAccepted: true }) },
    { name: 'was about to be sent again', over: unknownOf({ ...unexecuted, isAccepted: true }) },
  ])(
    'keeps that promise when a client that waits makes the next attempt, where it $name',
    (row) => {
      const request = requestOf({ recovery, isAccepted: false })
      expect(decideClaim(row.over, request, factsOf())).toMatchObject({
        kind: 'execute',
        record: { isAccepted: true },
      })
    },
  )

  it('makes it when a client that comes back makes the next attempt', () => {
    const decision = decideClaim(
      runningOf(unexecuted),
      requestOf({ recovery, isAccepted: true }),
      factsOf(),
    )
    expect(decision).toMatchObject({ record: { isAccepted: true } })
  })

  it('has promised nothing any more when its key is new again', () => {
    const record = settledOf({ isAccepted: true })
    const decision = decideClaim(record, requestOf(), factsOf({ now: 1_000 }))
    expect(decision).toMatchObject({ record: { fence: 1, isAccepted: false } })
  })
})

describe('isNew', () => {
  it.each([
    { name: 'the first claim of a key', record: null, expected: true },
    { name: 'the next attempt', record: unknownOf({ recovery: resendOf() }), expected: false },
    { name: 'a replay', record: settledOf(), expected: false },
    { name: 'a key that is forgotten', record: settledOf({ expiresAt: 500 }), expected: true },
  ])('says $expected for $name', ({ record, expected }) => {
    expect(isNew(decideClaim(record, requestOf({ recovery: resendOf() }), factsOf()))).toBe(
      expected,
    )
  })
})

describe('isUnexecuted', () => {
  it.each([
    { name: 'a call that runs', attempts: attemptsOf(null), expected: false },
    { name: 'a call that was not executed', attempts: attemptsOf('not_executed'), expected: true },
    { name: 'an unknown call', attempts: attemptsOf('unknown'), expected: false },
    { name: 'a call after that', attempts: attemptsOf('not_executed', null), expected: false },
    {
      name: 'an unknown call before',
      attempts: attemptsOf('unknown', 'not_executed'),
      expected: false,
    },
    {
      name: 'a call of a lost owner before',
      attempts: attemptsOf(null, 'not_executed'),
      expected: false,
    },
    { name: 'a result', attempts: attemptsOf('succeeded'), expected: false },
    { name: 'a failure before', attempts: attemptsOf('failed', 'not_executed'), expected: false },
    { name: 'several calls', attempts: attemptsOf('not_executed', 'not_executed'), expected: true },
  ])('says $expected for $name', ({ attempts, expected }) => {
    expect(isUnexecuted(runningOf({ attempts }))).toBe(expected)
  })
})

describe('claimResolved', () => {
  it('is a claim of the request, with its policy, and of no call before it any doubt is left', () => {
    const record = unknownOf({
      createdAt: 7,
      attempts: [attemptOf({ outcome: 'unknown', originStatus: 500 })],
    })
    const request = requestOf({
      claimId: 'claim-2',
      correlationId: 'correlation-2',
      recovery: durableHoldOf(),
    })
    const claimed = claimResolved(record, request, 500)
    expect(claimed).toMatchObject({
      state: 'in_progress',
      fence: 2,
      claimId: 'claim-2',
      correlationId: 'correlation-2',
      recovery: request.recovery,
      createdAt: 7,
      claimedAt: 500,
    })
    expect(claimed.attempts.map(({ outcome }) => outcome)).toEqual(['not_executed', null])
  })

  it.each([
    { was: false, is: true, expected: true },
    { was: true, is: false, expected: true },
    { was: false, is: false, expected: false },
  ])('is promised $expected where it was $was and its request says $is', (row) => {
    const record = unknownOf({ isAccepted: row.was })
    const claimed = claimResolved(record, requestOf({ isAccepted: row.is }), 500)
    expect(claimed.isAccepted).toBe(row.expected)
  })
})

describe('claimAgain', () => {
  const next = { claimId: 'claim-2', owner: { kind: 'object' }, isResolved: false } as const
  const attempts = attemptsOf('unknown')

  it.each([
    { name: 'a claim', record: runningOf({ attempts, createdAt: 7 }), doubt: {} },
    {
      name: 'an unknown outcome',
      record: unknownOf({ attempts, createdAt: 7 }),
      doubt: { doubt: { reason: 'origin-timeout', since: 0 } },
    },
  ])(
    'makes the next claim of $name, with a fence and an attempt of its own',
    ({ record, doubt }) => {
      const claimed = claimAgain(record, next, 500)
      expect(claimed).toEqual({
        ...runningOf({ createdAt: 7 }),
        ...doubt,
        fence: 2,
        claimId: 'claim-2',
        claimedAt: 500,
        attempts: [...attempts, attemptOf({ fence: 2, startedAt: 500 })],
      })
    },
  )

  it.each([
    { when: 'nothing is known of the calls before', isResolved: false, outcome: 'unknown' },
    {
      when: 'the origin has said that none was executed',
      isResolved: true,
      outcome: 'not_executed',
    },
  ])('leaves the calls before $outcome when $when', ({ isResolved, outcome }) => {
    const record = unknownOf({ attempts: [attemptOf({ outcome: 'unknown', originStatus: 500 })] })
    const [before, own] = claimAgain(record, { ...next, isResolved }, 500).attempts
    expect(before).toMatchObject({ outcome, originStatus: 500 })
    expect(own?.outcome).toBeNull()
  })

  it('keeps what was promised to the client, and who may have the result', () => {
    const promised = { isAccepted: true, reauthorizePath: '/may-read', recovery: durableHoldOf() }
    expect(claimAgain(unknownOf(promised), next, 500)).toMatchObject(promised)
  })

  it('loses no call that may have been executed, in any sequence of 60 and more', () => {
    const outcome = fc.constantFrom('not_executed', 'unknown', null, 'not_executed', 'not_executed')
    const calls = fc.array(outcome, { minLength: 60, maxLength: 80 })
    fc.assert(
      fc.property(calls, fc.nat(59), fc.constantFrom('unknown', null), (outcomes, at, doubt) => {
        const all = outcomes.with(at, doubt)
        const last = all.reduce<InProgressRecord>((record, ended, index) => {
          const fence = index + 1
          return claimAgain(endedWith(record, { fence, outcome: ended }), next, 500)
        }, runningOf())
        expect(isUnexecuted(endedWith(last, { outcome: 'not_executed' }))).toBe(false)
        expect(last.attempts).toHaveLength(20)
        expect(last.attempts.at(-1)).toEqual(attemptOf({ fence: all.length + 1, startedAt: 500 }))
      }),
    )
  })

  it('stays free of doubt where no call of any number can have been executed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 80 }), (calls) => {
        let record = runningOf()
        for (let call = 0; call < calls; call++) {
          record = claimAgain(endedWith(record, { outcome: 'not_executed' }), next, 500)
        }
        expect(isUnexecuted(endedWith(record, { outcome: 'not_executed' }))).toBe(true)
      }),
    )
  })

  it('drops the oldest call without doubt before any other', () => {
    const doubts = Array.from({ length: 10 }, () => 'unknown' as const)
    const sure = Array.from({ length: 10 }, () => 'not_executed' as const)
    const record = unknownOf({ fence: 20, attempts: attemptsOf(...doubts, ...sure) })
    const fences = claimAgain(record, next, 500).attempts.map(({ fence }) => fence)
    expect(fences).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21])
  })

  it('is driven by a Worker where one asks for it', () => {
    const owner = { kind: 'worker', leaseUntil: 900 } as const
    expect(claimAgain(unknownOf(), { ...next, owner }, 500).owner).toEqual(owner)
  })
})

describe('isAlive', () => {
  it.each([
    { name: 'an object that holds the call', record: runningOf(), isRunning: true, expected: true },
    { name: 'an object that does not', record: runningOf(), isRunning: false, expected: false },
    {
      name: 'a Worker before its lease ends',
      record: leasedUntil(501),
      isRunning: false,
      expected: true,
    },
    {
      name: 'a Worker when its lease ends',
      record: leasedUntil(500),
      isRunning: true,
      expected: false,
    },
  ])('says $expected for $name', ({ record, isRunning, expected }) => {
    expect(isAlive(record, factsOf({ isRunning }))).toBe(expected)
  })
})

describe('isExpired', () => {
  it.each([
    { name: 'a result before its retention ends', record: settledOf(), now: 999, expected: false },
    { name: 'a result when its retention ends', record: settledOf(), now: 1_000, expected: true },
    {
      name: 'what is sent again before that',
      record: unknownOf({ expiresAt: 1_000 }),
      now: 999,
      expected: false,
    },
    {
      name: 'what is sent again then',
      record: unknownOf({ expiresAt: 1_000 }),
      now: 1_000,
      expected: true,
    },
    { name: 'what is held, however long', record: unknownOf(), now: 1e15, expected: false },
    { name: 'a claim, however old', record: runningOf(), now: 1e15, expected: false },
  ])('says $expected for $name', ({ record, now, expected }) => {
    expect(isExpired(record, factsOf({ now }))).toBe(expected)
  })

  it.each([
    { name: 'an unknown outcome', record: unknownOf({ expiresAt: 1_000 }), expected: false },
    { name: 'a result', record: settledOf(), expected: true },
  ])('says $expected for $name that the origin is called about', ({ record, expected }) => {
    expect(isExpired(record, factsOf({ now: 1_000, isRunning: true }))).toBe(expected)
  })

  it.each([
    { name: 'a result', record: settledOf(), expected: false },
    { name: 'a failure', record: settledOf({ state: 'failed' }), expected: false },
    { name: 'a tombstone', record: tombstoneOf(), expected: true },
    { name: 'an unknown outcome', record: unknownOf({ expiresAt: 1_000 }), expected: true },
  ])('says $expected for $name that its own client still reads', ({ record, expected }) => {
    expect(isExpired(record, factsOf({ now: 1e12, isBeingRead: true }))).toBe(expected)
  })
})

describe('isForgotten', () => {
  it.each([
    { name: 'a result in its retention', record: settledOf(), now: 999, expected: false },
    {
      name: 'a result without a tombstone after it',
      record: settledOf(),
      now: 1_000,
      expected: true,
    },
    { name: 'a tombstone before it ends', record: tombstoneOf(), now: 2_999, expected: false },
    { name: 'a tombstone when it ends', record: tombstoneOf(), now: 3_000, expected: true },
    { name: 'a claim, however old', record: runningOf(), now: 1e15, expected: false },
    { name: 'what is held, however long', record: unknownOf(), now: 1e15, expected: false },
  ])('says $expected for $name', ({ record, now, expected }) => {
    expect(isForgotten(record, factsOf({ now }))).toBe(expected)
  })

  it('never comes before expiry, and stays', () => {
    const ms = fc.nat(10_000)
    fc.assert(
      fc.property(ms, ms, ms, ms, (expiresAt, tombstoneMs, now, laterMs) => {
        const record = settledOf({ expiresAt, tombstoneMs })
        fc.pre(isForgotten(record, factsOf({ now })))
        expect(isExpired(record, factsOf({ now }))).toBe(true)
        expect(isForgotten(record, factsOf({ now: now + laterMs }))).toBe(true)
      }),
    )
  })
})

describe('asOf', () => {
  const orphan = {
    state: 'unknown',
    reason: 'owner-lost',
    settledAt: 500,
    expiresAt: null,
    recoveryAt: 5_500,
  }

  it.each([
    { name: 'a call that runs', record: runningOf(), facts: { isRunning: true } },
    { name: 'a lease that stands', record: leasedUntil(501), facts: {} },
    {
      name: 'what was not executed and has lost its owner',
      record: runningOf({ attempts: attemptsOf('not_executed') }),
      facts: {},
    },
    { name: 'what is held, however long', record: unknownOf(), facts: { now: 1e15 } },
    {
      name: 'what has expired while the origin is called about it',
      record: unknownOf({ expiresAt: 400 }),
      facts: { isRunning: true },
    },
    { name: 'a result in its last millisecond', record: settledOf(), facts: { now: 999 } },
    {
      name: 'a result that its own client still reads',
      record: settledOf(),
      facts: { now: 1e12, isBeingRead: true },
    },
    { name: 'a tombstone in its last millisecond', record: tombstoneOf(), facts: { now: 2_999 } },
  ])('leaves $name as it is', ({ record, facts }) => {
    expect(asOf(record, factsOf(facts))).toBe(record)
  })

  it.each([
    { name: 'a call whose object has restarted', record: runningOf(), expected: orphan },
    { name: 'a lease that has just ended', record: leasedUntil(500), expected: orphan },
    {
      name: 'an orphan of which one call may have been executed',
      record: runningOf({
        attempts: [
          attemptOf({ endedAt: 300, outcome: 'unknown' }),
          attemptOf({ fence: 2, outcome: 'not_executed' }),
        ],
      }),
      expected: { ...orphan, settledAt: 300, recoveryAt: 10_500 },
    },
    {
      name: 'a result whose retention has just ended',
      record: settledOf({ tombstoneMs: 2_000, expiresAt: 500 }),
      expected: tombstoneOf({ expiresAt: 500 }),
    },
  ])('sees in $name what a claim would see', ({ record, expected }) => {
    expect(asOf(record, factsOf())).toMatchObject(expected)
  })

  it.each([
    { name: 'a result without a tombstone', record: settledOf(), now: 1_000 },
    { name: 'a tombstone', record: tombstoneOf(), now: 3_000 },
    { name: 'what could have been sent again', record: unknownOf({ expiresAt: 400 }), now: 500 },
  ])('sees nothing any more in $name that has just ended', ({ record, now }) => {
    expect(asOf(record, factsOf({ now }))).toBeNull()
  })
})

describe('toUnknown', () => {
  const claim = { fence: 3, claimId: 'claim-9', correlationId: 'correlation-9', retentionMs: 700 }

  it.each([
    { kind: 'hold', recovery: HOLD, expiresAt: null },
    { kind: 'probe', recovery: probeOf(), expiresAt: null },
    { kind: 'self-probe', recovery: selfProbeOf(), expiresAt: null },
    { kind: 'resend', recovery: resendOf(), expiresAt: 1_000 },
  ])('keeps the claim, and under $kind until $expiresAt', ({ recovery, expiresAt }) => {
    const attempts = [attemptOf({ startedAt: 100, endedAt: 300, outcome: 'unknown' })]
    const record = toUnknown(runningOf({ ...claim, recovery, attempts }), 'origin-answered', 500)
    expect(record).toEqual({
      ...unknownOf({ ...claim, recovery, attempts }),
      reason: 'origin-answered',
      settledAt: 300,
      expiresAt,
      recoveryCount: 0,
      recoveryAt: 5_500,
    })
    expect(record).not.toHaveProperty('owner')
  })

  const unexecuted = attemptOf({ startedAt: 10, endedAt: 20, outcome: 'not_executed' })
  const doubtful = attemptOf({ startedAt: 100, endedAt: 300, outcome: 'unknown' })
  const lost = attemptOf({ startedAt: 400 })

  it.each([
    { name: 'the end of its only call', attempts: [doubtful], since: 300, nextMs: 5_000 },
    { name: 'now, where its call was lost', attempts: [lost], since: 500, nextMs: 5_000 },
    {
      name: 'now, where the first was not executed and the next was lost',
      attempts: [unexecuted, lost],
      since: 500,
      nextMs: 10_000,
    },
    { name: 'the first of two', attempts: [doubtful, lost], since: 300, nextMs: 10_000 },
    {
      name: 'the first that may have been executed',
      attempts: [unexecuted, doubtful, lost],
      since: 300,
      nextMs: 20_000,
    },
    {
      name: 'one in doubt before one that was not executed',
      attempts: [doubtful, unexecuted],
      since: 300,
      nextMs: 10_000,
    },
    { name: 'now, where none was executed', attempts: [unexecuted], since: 500, nextMs: 5_000 },
  ])('counts from $name, and has its recovery wait for the calls so far', (row) => {
    const { attempts, since, nextMs } = row
    const running = runningOf({ recovery: resendOf(), retentionMs: 700, attempts })
    expect(toUnknown(running, 'owner-lost', 500)).toMatchObject({
      settledAt: since,
      expiresAt: since + 700,
      recoveryCount: attempts.length - 1,
      recoveryAt: 500 + nextMs,
    })
  })

  it.each([
    { name: 'a moment', retryAfterMs: 1_000, retentionMs: DAY_MS, expected: 5_500 },
    { name: 'a minute', retryAfterMs: 60_000, retentionMs: DAY_MS, expected: 60_300 },
    { name: 'a day', retryAfterMs: DAY_MS, retentionMs: DAY_MS, expected: 3_600_300 },
    {
      name: 'longer than results are kept',
      retryAfterMs: DAY_MS,
      retentionMs: 9_000,
      expected: 9_300,
    },
  ])(
    'leaves it alone where the origin asks for $name',
    ({ retryAfterMs, retentionMs, expected }) => {
      const attempts = [{ ...doubtful, retryAfterMs }]
      const running = runningOf({ recovery: resendOf(), retentionMs, attempts })
      expect(toUnknown(running, 'origin-answered', 500).recoveryAt).toBe(expected)
    },
  )

  it('ends the call that was lost, in doubt and now, and no other', () => {
    const running = runningOf({ attempts: [unexecuted, doubtful, lost] })
    expect(toUnknown(running, 'owner-lost', 500).attempts).toEqual([
      unexecuted,
      doubtful,
      { ...lost, endedAt: 500, outcome: 'unknown' },
    ])
  })
})

describe('postpone', () => {
  it.each([
    { name: 'later than it is due', askedMs: 60_000, expected: 60_500 },
    { name: 'sooner than it is due', askedMs: 1_000, expected: 5_000 },
    { name: 'in a day', askedMs: DAY_MS, expected: 3_600_500 },
  ])('has a recovery wait where the origin wants to be asked $name', ({ askedMs, expected }) => {
    const record = unknownOf({ recovery: probeOf(), retentionMs: DAY_MS, recoveryAt: 5_000 })
    expect(postpone(record, askedMs, 500)).toEqual({ ...record, recoveryAt: expected })
  })
})

describe('toGranted', () => {
  it.each([
    { name: 'the only call', attempts: attemptsOf(null), fence: 1, expected: false },
    {
      name: 'one behind what was not executed',
      attempts: attemptsOf('not_executed', null),
      fence: 2,
      expected: false,
    },
    {
      name: 'one behind what is unknown',
      attempts: attemptsOf('unknown', null),
      fence: 2,
      expected: true,
    },
    {
      name: 'one behind what was lost',
      attempts: attemptsOf(null, null),
      fence: 2,
      expected: true,
    },
  ])(
    'tells of $name whether a call before may have been executed: $expected',
    ({ attempts, fence, expected }) => {
      const granted = toGranted('operation-1', runningOf({ fence, attempts }))
      expect(granted).toEqual({ ...claimRefOf({ fence }), isInDoubt: expected })
    },
  )
})

describe('toTombstone', () => {
  it.each([
    { name: 'a result', record: settledOf({ tombstoneMs: 2_000 }) },
    { name: 'a refusal', record: settledOf({ state: 'failed', tombstoneMs: 2_000 }) },
    { name: 'an unknown outcome', record: unknownOf({ tombstoneMs: 2_000, expiresAt: 1_000 }) },
  ])('leaves of $name what refuses a late retry and how it ended, no snapshot', ({ record }) => {
    expect(toTombstone(record)).toEqual(tombstoneOf({ outcome: record.state }))
  })
})

describe('remember', () => {
  const longer = { retentionMs: 5_000, tombstoneMs: 2_000 }
  const shorter = { retentionMs: 1, tombstoneMs: 0 }

  it.each([
    { name: 'a result', record: settledOf(), expiresAt: 5_000 },
    { name: 'what could be sent again', record: unknownOf({ expiresAt: 1_000 }), expiresAt: 5_000 },
    { name: 'what is held', record: unknownOf(), expiresAt: null },
    {
      name: 'a result that the origin wants forgotten',
      record: settledOf({ expiresAt: 999 }),
      expiresAt: 999,
    },
    { name: 'a tombstone', record: tombstoneOf(), expiresAt: 1_000 },
  ])(
    'has $name until $expiresAt where the route remembers until 5,000',
    ({ record, expiresAt }) => {
      const remembered = remember(record, longer)
      expect(remembered).toEqual({ ...record, ...longer, expiresAt })
      expect(remember(remembered, longer)).toBe(remembered)
    },
  )

  it.each([
    { name: 'a result', record: settledOf({ tombstoneMs: 1_000 }) },
    { name: 'a claim', record: runningOf() },
    { name: 'a tombstone', record: tombstoneOf() },
  ])('has $name no shorter than it was', ({ record }) => {
    expect(remember(record, shorter)).toBe(record)
  })

  it('replays what its route would still remember, and refuses what it would still refuse', () => {
    const [replays, refuses] = [{ retentionMs: 2_000 }, { tombstoneMs: 1_000 }]
    const facts = factsOf({ now: 1_500 })
    expect(decideClaim(settledOf(), requestOf(replays), facts).kind).toBe('replay')
    expect(decideClaim(settledOf(), requestOf(refuses), facts).kind).toBe('expired')
    expect(decideClaim(settledOf(), requestOf(), facts).kind).toBe('execute')
  })
})

describe('decideClaim of a request for another origin', () => {
  const decide = (own: Recovery, asked: Recovery, origins: readonly (string | undefined)[]) => {
    const [before, now] = origins.map((origin) => (origin === undefined ? {} : { origin }))
    const record = unknownOf({ recovery: own, expiresAt: null, ...before })
    return decideClaim(record, requestOf({ recovery: asked, ...now }), factsOf())
  }

  it.each([
    { own: resendOf(), asked: resendOf(), expected: 'hold' },
    { own: resendOf(), asked: probeOf(), expected: 'hold' },
    { own: HOLD, asked: probeOf(), expected: 'hold' },
    { own: probeOf(), asked: HOLD, expected: 'probe' },
    { own: probeOf(), asked: resendOf(), expected: 'probe' },
  ])(
    'decides $expected where it had $own.kind and the route has $asked.kind',
    ({ own, asked, expected }) => {
      for (const origins of [
        ['crm', 'payments'],
        ['crm', undefined],
        [undefined, 'payments'],
      ]) {
        expect(decide(own, asked, origins)).toMatchObject({ kind: expected })
      }
    },
  )

  it('asks with the path of the record, which is one at its origin', () => {
    const asked = probeOf({ path: '/asked' })
    expect(decide(probeOf({ path: '/own' }), asked, ['crm', 'payments'])).toMatchObject({
      recovery: { path: '/own' },
      record: { recovery: { path: '/own' } },
    })
  })

  it('executes again at the same one, in a record that an earlier version refuses', () => {
    expect(decide(resendOf(), resendOf(), ['crm', 'crm'])).toMatchObject({
      kind: 'execute',
      record: { origin: 'crm', version: 2 },
    })
    const own = decide(resendOf(), resendOf(), [undefined, undefined])
    expect(own).toMatchObject({ kind: 'execute', record: { version: 1 } })
  })
})

describe('tighten', () => {
  const durable = resendOf({ isDurable: true })

  it.each([
    { name: 'holds what was sent again', own: resendOf(), asked: HOLD, expected: 'hold' },
    { name: 'holds what was asked about', own: probeOf(), asked: HOLD, expected: 'hold' },
    {
      name: 'asks about what was sent again',
      own: resendOf(),
      asked: probeOf(),
      expected: 'probe',
    },
    {
      name: 'leaves held what could be asked about',
      own: HOLD,
      asked: probeOf(),
      expected: 'hold',
    },
    {
      name: 'leaves held what could be sent again',
      own: HOLD,
      asked: resendOf(),
      expected: 'hold',
    },
    {
      name: 'still asks about what could be sent again',
      own: probeOf(),
      asked: resendOf(),
      expected: 'probe',
    },
    { name: 'holds what asked first', own: selfProbeOf(), asked: HOLD, expected: 'hold' },
    {
      name: 'lets ask first what was sent again',
      own: resendOf(),
      asked: selfProbeOf(),
      expected: 'self-probe',
    },
    {
      name: 'still asks first before what could be sent again',
      own: selfProbeOf(),
      asked: resendOf(),
      expected: 'self-probe',
    },
  ])('$name', ({ own, asked, expected }) => {
    expect(tighten(unknownOf({ recovery: own }), asked).recovery.kind).toBe(expected)
    expect(tighten(runningOf({ recovery: own }), asked).recovery.kind).toBe(expected)
  })

  it.each([
    { name: 'held', asked: HOLD },
    { name: 'asked about', asked: probeOf() },
    { name: 'asking first', asked: selfProbeOf() },
  ])('remembers until it is resolved what is $name by now', ({ asked }) => {
    const record = unknownOf({ recovery: resendOf(), expiresAt: 1_000 })
    expect(tighten(record, asked).expiresAt).toBeNull()
  })

  it('keeps whether the request is stored, as its claim has it', () => {
    expect(tighten(unknownOf({ recovery: durable }), HOLD).recovery.isDurable).toBe(true)
    expect(tighten(unknownOf({ recovery: durable }), probeOf()).recovery.isDurable).toBe(true)
  })

  it.each([
    { name: 'a result', record: settledOf({ recovery: resendOf() }) },
    { name: 'a tombstone', record: tombstoneOf({ recovery: resendOf() }) },
  ])('leaves $name as it is', ({ record }) => {
    expect(tighten(record, HOLD)).toBe(record)
  })
})
