import { describe, expect, it } from 'vitest'

import {
  toClientHeaders,
  toOriginHeaders,
  toReplayHeaders,
  toSnapshotHeaders,
} from '../../../src/core/headers.ts'
import type { HeaderField } from '../../../src/core/snapshot.ts'
import { KEEP } from '../../fakes/build.ts'

const namesOf = (fields: readonly HeaderField[]) => fields.map(([name]) => name)
const fieldsOf = (...names: readonly string[]) =>
  names.map((name): HeaderField => [name.toLowerCase(), 'x'])

const HOP_BY_HOP = [
  'Content-Length',
  'Expect',
  'Host',
  'Keep-Alive',
  'Proxy-Authenticate',
  'Proxy-Authorization',
  'Proxy-Connection',
  'TE',
  'Trailer',
  'Transfer-Encoding',
  'Upgrade',
]

/** A message with each of these fields, and one that is always passed on. */
function messageWith(...names: readonly string[]): Headers {
  return new Headers([...names.map((name): [string, string] => [name, 'x']), ['X-Passed', 'x']])
}

describe('toOriginHeaders', () => {
  it.each(HOP_BY_HOP.map((name) => ({ name })))('keeps $name on its own connection', ({ name }) => {
    expect(namesOf(toOriginHeaders(messageWith(name)))).toEqual(['x-passed'])
  })

  it('drops Connection and every field that it names, in any case', () => {
    const headers = messageWith('X-Secret', 'X-Other')
    headers.set('Connection', 'close, x-SECRET')
    expect(namesOf(toOriginHeaders(headers))).toEqual(['x-other', 'x-passed'])
  })

  it.each([
    { name: 'Idempotency-Attempt' },
    { name: 'Idempotency-Key' },
    { name: 'Idempotency-Outcome' },
    { name: 'Idempotency-Result-Status' },
    { name: 'Idempotency-Status' },
    { name: 'Idempotency-Store' },
    { name: 'Idempotent-Replayed' },
    { name: 'X-Correlation-Id' },
    { name: 'Stripe-Should-Retry' },
    { name: 'X-Should-Retry' },
    { name: 'Hapax-Error' },
    { name: 'Hapax-Anything' },
  ])('lets nobody outside write $name', ({ name }) => {
    expect(namesOf(toOriginHeaders(messageWith(name)))).toEqual(['x-passed'])
  })

  it('passes credentials, types and tracing on, with lower-case names', () => {
    const names = [
      'Accept',
      'Authorization',
      'Content-Type',
      'Cookie',
      'Traceparent',
      'X-Request-Deadline',
    ]
    const passed = toOriginHeaders(messageWith(...names))
    expect(passed).toEqual(fieldsOf(...names.toSpliced(-1, 0, 'X-Passed')))
  })
})

describe('toClientHeaders', () => {
  it.each([
    { name: 'Hapax-Error' },
    { name: 'Idempotency-Outcome' },
    { name: 'Idempotency-Result-Status' },
    { name: 'Idempotency-Status' },
    { name: 'Idempotency-Store' },
    { name: 'Idempotent-Replayed' },
    { name: 'X-Correlation-Id' },
    { name: 'Transfer-Encoding' },
    { name: 'Content-Length' },
  ])('drops what an origin sends as $name', ({ name }) => {
    expect(namesOf(toClientHeaders(messageWith(name)))).toEqual(['x-passed'])
  })

  it('gives the first client everything else, each Set-Cookie on its own', () => {
    const headers = messageWith('Age', 'Content-Encoding', 'Date', 'RateLimit')
    headers.append('Set-Cookie', 'a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT')
    headers.append('Set-Cookie', 'b=2')
    expect(toClientHeaders(headers)).toEqual([
      ...fieldsOf('Age', 'Content-Encoding', 'Date', 'RateLimit'),
      ['set-cookie', 'a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT'],
      ['set-cookie', 'b=2'],
      ['x-passed', 'x'],
    ])
  })
})

describe('toSnapshotHeaders', () => {
  it.each([
    { name: 'Age' },
    { name: 'CF-Cache-Status' },
    { name: 'CF-Ray' },
    { name: 'Date' },
    { name: 'Set-Cookie' },
    { name: 'Set-Cookie2' },
    { name: 'RateLimit' },
    { name: 'RateLimit-Policy' },
    { name: 'Rate-Limit-Reset' },
    { name: 'X-RateLimit-Remaining' },
    { name: 'X-Rate-Limit-Limit' },
  ])('does not keep $name, which belongs to one delivery', ({ name }) => {
    expect(toSnapshotHeaders(fieldsOf(name, 'X-Passed'), KEEP)).toEqual(fieldsOf('X-Passed'))
  })

  it.each([
    { name: 'Content-Encoding' },
    { name: 'Content-Type' },
    { name: 'ETag' },
    { name: 'Location' },
    { name: 'Retry-After' },
    { name: 'Access-Control-Allow-Origin' },
    { name: 'X-Rate' },
    { name: 'X-RateLimited' },
  ])('keeps $name', ({ name }) => {
    expect(toSnapshotHeaders(fieldsOf(name), KEEP)).toEqual(fieldsOf(name))
  })

  it('keeps every Set-Cookie, in order, where the policy asks for it', () => {
    const fields: HeaderField[] = [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ]
    expect(toSnapshotHeaders(fields, { ...KEEP, setCookie: true })).toEqual(fields)
  })

  it('leaves out the names of the policy, in any case, and a cookie before it is asked for', () => {
    const rules = { ...KEEP, setCookie: true, omit: ['X-SECRET', 'Set-Cookie'] }
    const fields = fieldsOf('X-Secret', 'Set-Cookie', 'X-Passed')
    expect(toSnapshotHeaders(fields, rules)).toEqual(fieldsOf('X-Passed'))
  })
})

describe('toReplayHeaders', () => {
  const fields = fieldsOf('Access-Control-Allow-Origin', 'Access-Control-Expose-Headers', 'ETag')

  it.each([
    { who: 'the same Origin', stored: 'https://a.test', current: 'https://a.test', expected: 3 },
    { who: 'no Origin, as before', stored: null, current: null, expected: 3 },
    { who: 'another Origin', stored: 'https://a.test', current: 'https://b.test', expected: 1 },
    { who: 'an Origin, unlike before', stored: null, current: 'https://a.test', expected: 1 },
    { who: 'no Origin, unlike before', stored: 'https://a.test', current: null, expected: 1 },
  ])('gives $expected of three fields to $who', ({ stored, current, expected }) => {
    const replayed = toReplayHeaders(fields, { stored, current })
    expect(replayed).toHaveLength(expected)
    expect(namesOf(replayed)).toContain('etag')
  })
})
