import { CloudEvent as Official, HTTP } from 'cloudevents'
import { describe, expect, it } from 'vitest'

import { queue, webhook } from '../../../../src/core/event/destination.ts'
import {
  type EmittedEvent,
  type EventOrigin,
  type EventRule,
  toEmitted,
  toSendable,
} from '../../../../src/core/event/event.ts'
import { rulesFor, toStateEvent } from '../../../../src/core/event/state-event.ts'
import { runningOf, settledOf, tombstoneOf, unknownOf } from '../../../fakes/build.ts'

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

describe('toSendable', () => {
  class Money {
    readonly amount: number
    readonly #currency = 'EUR'
    constructor(amount: number) {
      this.amount = amount
    }
    get currency() {
      return this.#currency
    }
  }
  class Hidden {
    readonly #amount = 5
    get amount() {
      return this.#amount
    }
  }
  class Failure extends Error {
    readonly code = 7
  }
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  const named = Object.assign([1], { sum: 1 })
  // oxlint-disable-next-line no-sparse-arrays -- what is tested
  const gap = [1, , 3]

  it.each<{ what: string; data: unknown; says?: RegExp }>([
    { what: 'a bigint', data: 1n },
    { what: 'a symbol', data: Symbol('a') },
    { what: 'a function', data: () => 1 },
    { what: 'a class', data: Money },
    { what: 'NaN', data: Number.NaN },
    { what: 'Infinity', data: Infinity },
    { what: 'a Map', data: new Map([[1, 2]]) },
    { what: 'a Set', data: new Set([1]) },
    { what: 'a WeakMap', data: new WeakMap() },
    { what: 'a WeakSet', data: new WeakSet() },
    { what: 'a WeakRef', data: new WeakRef({}) },
    { what: 'a Promise', data: Promise.resolve(1) },
    { what: 'an Error', data: new Error('no') },
    { what: 'an Error with members', data: new Failure('no') },
    { what: 'a DOMException', data: new DOMException('no') },
    { what: 'an instance whose members are all private', data: new Hidden() },
    { what: 'an object that only inherits', data: { a: Object.create({ b: 1 }) as object } },
    { what: 'a RegExp behind a Proxy', data: new Proxy(/a/, {}) },
    { what: 'a RegExp', data: /a/ },
    { what: 'an ArrayBuffer', data: new ArrayBuffer(1) },
    { what: 'a Uint8Array', data: new Uint8Array(1) },
    { what: 'a DataView', data: new DataView(new ArrayBuffer(1)) },
    { what: 'a Blob', data: new Blob(['a']) },
    { what: 'a Request', data: new Request('https://a.test') },
    { what: 'a Response', data: new Response('a') },
    { what: 'Headers', data: new Headers({ a: 'b' }) },
    { what: 'FormData', data: new FormData() },
    { what: 'URLSearchParams', data: new URLSearchParams('a=b') },
    { what: 'a ReadableStream', data: new ReadableStream() },
    { what: 'an AbortSignal', data: new AbortController().signal },
    { what: 'an iterator', data: [1].values() },
    { what: 'a generator', data: (function* () {})() },
    { what: 'an Intl.NumberFormat', data: new Intl.NumberFormat('en') },
    { what: 'a boxed number', data: new Number(1) },
    { what: 'a boxed string', data: new String('a') },
    { what: 'a boxed boolean', data: new Boolean(true) },
    { what: 'an invalid Date', data: new Date(Number.NaN) },
    { what: 'a member that a symbol names', data: { [Symbol('a')]: 1 } },
    { what: 'a list with a gap', data: gap },
    { what: 'a list with a member', data: named },
    {
      what: 'a list with a member in the place of a gap',
      data: Object.assign([...gap].slice(0, 0), { length: 1, a: 1 }),
    },
    { what: 'a toJSON that gives nothing', data: { toJSON: () => undefined } },
    { what: 'a toJSON that gives a Map', data: { toJSON: () => new Map() } },
    { what: 'a cycle', data: cycle, says: /circular/i },
    {
      what: 'a getter that throws',
      data: {
        get a() {
          throw new Error('no')
        },
      },
    },
    {
      what: 'a toJSON that throws what is no error',
      data: {
        toJSON() {
          // oxlint-disable-next-line only-throw-error -- what is tested
          throw 'no'
        },
      },
    },
  ])('refuses $what, also deep inside', ({ data, says = /must be JSON/ }) => {
    for (const given of [data, { a: data }, [data], { a: [{ b: data }] }]) {
      const send = () => toSendable({ ...EMITTED, data: given })
      expect(send).toThrow(TypeError)
      expect(send).toThrow(says)
    }
  })

  it.each([{ data: [undefined] }, { data: { a: [1, undefined] } }])(
    'refuses undefined in a list: $data',
    ({ data }) => {
      expect(() => toSendable({ ...EMITTED, data })).toThrow(/must be JSON/)
    },
  )

  it.each<{ what: string; data: unknown; expected: unknown }>([
    { what: 'null', data: null, expected: null },
    {
      what: 'a plain object',
      data: { a: [1, 'b', false, null] },
      expected: { a: [1, 'b', false, null] },
    },
    {
      what: 'an object without a prototype',
      data: Object.assign(Object.create(null) as object, { a: 1 }),
      expected: { a: 1 },
    },
    { what: 'a member that is undefined', data: { a: undefined, b: 1 }, expected: { b: 1 } },
    { what: 'a Date', data: { at: new Date(0) }, expected: { at: '1970-01-01T00:00:00.000Z' } },
    { what: 'a URL', data: [new URL('https://a.test')], expected: ['https://a.test/'] },
    { what: 'an object without a prototype', data: Object.create(null) as object, expected: {} },
    { what: 'an instance of a class', data: new Money(5), expected: { amount: 5 } },
    { what: 'a subclass of Array', data: new (class extends Array<number> {})(0), expected: [] },
    {
      what: 'a Map that says what it is',
      data: Object.assign(new Map(), { toJSON: () => [1] }),
      expected: [1],
    },
    {
      what: 'a toJSON that gives null',
      data: { a: { toJSON: () => null } },
      expected: { a: null },
    },
  ])('takes $what', ({ data, expected }) => {
    expect(toSendable({ ...EMITTED, data })).toEqual({ ...EMITTED, data: expected })
  })

  it('says nothing of data where there is none', () => {
    expect(toSendable({ ...EMITTED, data: undefined })).toEqual(EMITTED)
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
