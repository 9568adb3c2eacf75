import { CloudEvent as Official, HTTP } from 'cloudevents'
import { describe, expect, it } from 'vitest'

import {
  type EmittedEvent,
  type EventOrigin,
  type EventRule,
  queue,
  rulesFor,
  toEmitted,
  toStateEvent,
  webhook,
} from '../../../src/core/event.ts'
import { runningOf, settledOf, tombstoneOf, unknownOf } from '../../fakes/build.ts'

const NOW = Date.parse('2026-11-24T12:00:00.123Z')
const ORIGIN: EventOrigin = {
  correlationId: 'correlation-1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tenant: 'tenant-a',
}
const EMITTED: EmittedEvent = { type: 'report.requested', to: queue('REPORTS') }
const emittedOf = (event: Partial<EmittedEvent>) =>
  toEmitted({ ...EMITTED, ...event }, 'id-1', ORIGIN, NOW)

const JSON_FORMAT = { 'content-type': 'application/cloudevents+json; charset=utf-8' }

/** Reads an event as a receiver does that uses the specification's own library; it throws on a fault. */
function receive(event: object): Record<string, unknown> {
  const read = HTTP.toEvent({ headers: JSON_FORMAT, body: JSON.stringify(event) })
  if (!(read instanceof Official) || !read.validate()) throw new Error('no event')
  return JSON.parse(JSON.stringify(read)) as Record<string, unknown>
}

describe('toEmitted', () => {
  it.each([
    { what: 'without data', event: {} },
    { what: 'with data and a subject', event: { data: { id: 7 }, subject: 'report/7' } },
    { what: 'with a text as data', event: { data: 'plain ✓' } },
    { what: 'with a list as data', event: { data: [0, false, null, ''] } },
  ])('is a CloudEvent to a receiver, and the same one: $what', ({ event }) => {
    const made = emittedOf(event)
    expect(receive(made)).toEqual(JSON.parse(JSON.stringify(made)))
  })

  it('bears what ties it to its request', () => {
    expect(emittedOf({ data: { id: 7 }, subject: 'report/7' })).toEqual({
      specversion: '1.0',
      id: 'id-1',
      source: '/hapax',
      type: 'report.requested',
      time: '2026-11-24T12:00:00.123Z',
      subject: 'report/7',
      datacontenttype: 'application/json',
      data: { id: 7 },
      correlationid: 'correlation-1',
      traceparent: ORIGIN.traceparent,
      tenant: 'tenant-a',
    })
  })

  it('says nothing of data where there is none', () => {
    const names = Object.keys(emittedOf({ data: undefined }))
    expect(names).not.toContain('data')
    expect(names).not.toContain('datacontenttype')
  })

  // The library's HTTP binding (10.0.0) drops such data, so it is not asked.
  it.each([{ data: null }, { data: 0 }, { data: false }, { data: '' }])(
    'keeps data that is next to nothing: $data',
    ({ data }) => {
      expect(emittedOf({ data })).toMatchObject({ data, datacontenttype: 'application/json' })
    },
  )

  it('does not tell where it goes: a webhook may hold a secret in its URL', () => {
    const made = emittedOf({ to: webhook('https://shop.example/hooks?token=s3cret') })
    expect(JSON.stringify(made)).not.toContain('s3cret')
  })

  it('names its attributes as CloudEvents 1.0 §3.1 asks: lower-case letters and digits', () => {
    const names = Object.keys(emittedOf({ data: 1, subject: 'a' }))
    expect(names.filter((name) => !/^[\da-z]{1,20}$/.test(name))).toEqual([])
  })
})

describe('toStateEvent', () => {
  it.each([
    {
      state: 'succeeded',
      record: settledOf({ createdAt: 0, settledAt: 7, fence: 2 }),
      expected: { attempts: 2, settledAt: '1970-01-01T00:00:00.007Z' },
    },
    { state: 'failed', record: settledOf({ state: 'failed' }), expected: {} },
    {
      state: 'unknown',
      record: unknownOf({ reason: 'connection-lost' }),
      expected: { reason: 'connection-lost' },
    },
  ])('is a CloudEvent that tells of $state', ({ state, record, expected }) => {
    const event = toStateEvent('operation-1', record, NOW)
    expect(receive(event)).toMatchObject({
      id: `operation-1:claim-1:${state}`,
      type: `operation.${state}`,
      subject: 'operation-1',
      time: '2026-11-24T12:00:00.123Z',
      correlationid: record.correlationId,
      tenant: record.tenant,
      data: { operation: record.operation, operationId: 'operation-1', state, ...expected },
    })
  })

  it('has the same id whenever it is made of the same settle, and another for each other', () => {
    const idOf = (record: Parameters<typeof toStateEvent>[1], now: number) =>
      toStateEvent('operation-1', record, now).id
    const ids = [
      idOf(settledOf(), 1),
      idOf(settledOf(), 2),
      idOf(settledOf({ claimId: 'claim-2' }), 1),
      idOf(settledOf({ state: 'failed' }), 1),
      idOf(unknownOf(), 1),
    ]
    expect(new Set(ids).size).toBe(4)
    expect(ids[0]).toBe(ids[1])
  })

  it('holds no response, no fingerprint and no key', () => {
    const event = toStateEvent('operation-1', settledOf(), NOW)
    expect(Object.keys(event.data as object).toSorted()).toEqual([
      'attempts',
      'createdAt',
      'operation',
      'operationId',
      'settledAt',
      'state',
    ])
  })
})

describe('rulesFor', () => {
  const retry = { attempts: 1, baseMs: 1, capMs: 1 }
  const onSuccess: EventRule = { on: ['succeeded'], to: queue('A'), retry }
  const onEnd: EventRule = { on: ['succeeded', 'failed'], to: queue('B'), retry }
  const onUnknown: EventRule = { on: ['unknown'], to: queue('C'), retry }
  const events = [onSuccess, onEnd, onUnknown]

  it.each([
    { state: 'in_progress', record: runningOf({ events }), expected: [] },
    { state: 'succeeded', record: settledOf({ events }), expected: [onSuccess, onEnd] },
    { state: 'failed', record: settledOf({ events, state: 'failed' }), expected: [onEnd] },
    { state: 'unknown', record: unknownOf({ events }), expected: [onUnknown] },
    { state: 'expired', record: tombstoneOf({ events }), expected: [] },
    { state: 'succeeded, without rules', record: settledOf({ events: [] }), expected: [] },
  ])('says which events $state leaves', ({ record, expected }) => {
    expect(rulesFor(record)).toEqual(expected)
  })
})

describe('the library of the specification', () => {
  it.each([
    { what: 'an empty type', broken: { type: '' } },
    { what: 'a source that is no URI', broken: { source: 'a b' } },
    { what: 'an attribute with an upper-case letter', broken: { correlationId: 'a' } },
  ])('refuses $what, so that its consent means something', ({ broken }) => {
    expect(() => receive({ ...emittedOf({}), ...broken })).toThrow(/invalid/)
  })
})
