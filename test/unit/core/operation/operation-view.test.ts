import { describe, expect, it } from 'vitest'

import { toOperationView } from '../../../../src/core/operation/operation-view.ts'
import type { OperationRecord } from '../../../../src/core/operation/record.ts'
import type { HeaderField, SealedHead } from '../../../../src/core/operation/snapshot.ts'
import { runningOf, settledOf, snapshotOf, tombstoneOf, unknownOf } from '../../../fakes/build.ts'

const viewOf = (record: OperationRecord, isRecovering = false) =>
  toOperationView('operation-1', record, { toTime: (epochMs) => `at ${epochMs}`, isRecovering })

const KNOWN = {
  id: 'operation-1',
  operation: 'POST /payments',
  correlationId: 'correlation-1',
  createdAt: 'at 0',
  attempts: 1,
}
const SEALED: SealedHead = { bodyBytes: 2, body: 'kept', keyId: 'secret-1', box: 'c2VhbGVk' }

describe('toOperationView', () => {
  it.each([
    {
      name: 'a call that runs',
      record: runningOf({ fence: 3 }),
      expected: { state: 'in_progress', attempts: 3 },
    },
    {
      name: 'what is held',
      record: unknownOf({ settledAt: 7 }),
      expected: { state: 'unknown', settledAt: 'at 7', reason: 'origin-timeout' },
    },
    {
      name: 'what may be sent again',
      record: unknownOf({ settledAt: 7, expiresAt: 1_000, reason: 'owner-lost' }),
      expected: {
        state: 'unknown',
        settledAt: 'at 7',
        expiresAt: 'at 1000',
        reason: 'owner-lost',
      },
    },
    {
      name: 'a tombstone',
      record: tombstoneOf({ settledAt: 7 }),
      expected: { state: 'expired', settledAt: 'at 7', expiresAt: 'at 1000' },
    },
    {
      name: 'a result',
      record: settledOf({ settledAt: 7 }),
      expected: {
        state: 'succeeded',
        settledAt: 'at 7',
        expiresAt: 'at 1000',
        result: { status: 201, headers: {} },
      },
    },
    {
      name: 'a failure whose body was not kept',
      record: settledOf({
        state: 'failed',
        snapshot: snapshotOf({ status: 422, body: 'omitted', bodyBytes: 0 }),
      }),
      expected: {
        state: 'failed',
        settledAt: 'at 0',
        expiresAt: 'at 1000',
        result: { status: 422, headers: {} },
      },
    },
    {
      name: 'a sealed result',
      record: settledOf({ snapshot: SEALED }),
      expected: {
        state: 'succeeded',
        settledAt: 'at 0',
        expiresAt: 'at 1000',
        result: {},
      },
    },
  ] as const)('shows of $name what its tenant may know, and nothing else', (row) => {
    expect(viewOf(row.record)).toEqual({ ...KNOWN, ...row.expected })
  })

  it('says when the alarm sees to it next, where it still does', () => {
    const record = unknownOf({ recoveryAt: 5_000 })
    expect(viewOf(record, true)).toEqual({ ...viewOf(record), nextAttemptAt: 'at 5000' })
    expect(viewOf(record)).not.toHaveProperty('nextAttemptAt')
  })

  it('shows no result that the origin decides about who may have it', () => {
    const record = settledOf({ reauthorizePath: '/may-read' })
    expect(viewOf(record)).toMatchObject({ state: 'succeeded', result: {} })
    expect(viewOf(record).result).toEqual({})
  })

  it('shows no cookie of a result', () => {
    const headers: HeaderField[] = [
      ['set-cookie', 'session=1'],
      ['content-type', 'text/csv'],
    ]
    const view = viewOf(settledOf({ snapshot: snapshotOf({ headers }) }))
    expect(view.result?.headers).toEqual({ 'content-type': 'text/csv' })
  })

  it('shows the headers that are kept, by their names', () => {
    const headers: HeaderField[] = [
      ['content-type', 'text/csv'],
      ['__proto__', 'x'],
    ]
    const view = viewOf(settledOf({ snapshot: snapshotOf({ headers }) }))
    expect(Object.entries(view.result?.headers ?? {})).toEqual(headers)
  })

  it('counts all calls that were made, also those whose evidence is no longer kept', () => {
    expect(viewOf(runningOf({ fence: 60 })).attempts).toBe(60)
  })

  it('shows nobody tenant, fingerprint, claim or how it is recovered', () => {
    const records = [runningOf(), unknownOf(), settledOf(), tombstoneOf()]
    const text = JSON.stringify(records.map((record) => viewOf(record)))
    expect(text).not.toMatch(/tenant-1|v1:a|claim-1|hold/)
  })
})
