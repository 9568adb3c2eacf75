import { describe, expect, it } from 'vitest'

import type { HeaderField } from '../../../../src/core/operation/snapshot.ts'
import {
  toClientHeaders,
  toOriginHeaders,
  toReplayHeaders,
  toSharedHeaders,
  toSnapshotHeaders,
} from '../../../../src/core/wire/headers.ts'
import { KEEP } from '../../../fakes/build.ts'

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

const NOBODY = { stored: null, current: null }

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
    { name: 'Idempotency-Expires' },
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

  it.each([
    { name: 'Idempotency_Key' },
    { name: 'idempotency.key' },
    { name: 'Idempotency!Attempt' },
    { name: 'Idempotency_Status' },
    { name: 'X_Correlation_Id' },
    { name: 'X-Correlation_Id' },
    { name: 'X|Should~Retry' },
    { name: 'Hapax_Anything' },
    { name: 'Hapax.Error' },
    { name: 'Content_Length' },
    { name: 'Transfer_Encoding' },
    { name: 'Proxy_Authorization' },
    { name: 'Accept_Encoding' },
    { name: 'Content_Type' },
    { name: 'Content`Encoding' },
  ])('lets nobody outside write $name, which many origins read as its twin', ({ name }) => {
    expect(namesOf(toOriginHeaders(messageWith(name)))).toEqual(['x-passed'])
  })

  it('drops twins of what Connection names', () => {
    const headers = messageWith('X_Secret', 'X-Secret', 'X.Other')
    headers.set('Connection', 'X-Secret, x_other')
    expect(namesOf(toOriginHeaders(headers))).toEqual(['x-passed'])
  })

  it.each([
    { name: 'X_Tenant' },
    { name: 'user_id' },
    { name: 'Idempotency_Keys' },
    { name: 'IdempotencyKey' },
    { name: 'Idempotency__Key' },
    { name: 'X_Hapax_Error' },
    { name: 'Accept_Language' },
  ])('passes $name on, which is nobody’s twin', ({ name }) => {
    expect(namesOf(toOriginHeaders(messageWith(name)))).toContain(name.toLowerCase())
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
    { name: 'Idempotency-Attempt' },
    { name: 'Idempotency-Expires' },
    { name: 'Idempotency-Key' },
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

  it.each([
    { name: 'Hapax_Error' },
    { name: 'Idempotency_Key' },
    { name: 'Idempotency_Status' },
    { name: 'Idempotent.Replayed' },
    { name: 'X_Correlation_Id' },
    { name: 'Transfer_Encoding' },
  ])('drops $name of an origin, a twin', ({ name }) => {
    expect(namesOf(toClientHeaders(messageWith(name, 'X_Other')))).toEqual(['x-passed', 'x_other'])
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
    { name: 'Mcp-Session-Id' },
    { name: 'Set-Cookie' },
    { name: 'Set-Cookie2' },
    { name: 'Idempotency-Key' },
    { name: 'Retry-After' },
    { name: 'Retry-After-Ms' },
    { name: 'X-Ms-Retry-After-Ms' },
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
    { name: 'Retry-After-Hours' },
    { name: 'Access-Control-Allow-Origin' },
    { name: 'X-Rate' },
    { name: 'X-RateLimited' },
  ])('keeps $name', ({ name }) => {
    expect(toSnapshotHeaders(fieldsOf(name), KEEP)).toEqual(fieldsOf(name))
  })

  it.each([
    { value: 'true', isKept: false },
    { value: ' TRUE ', isKept: false },
    { value: 'false', isKept: true },
    { value: '', isKept: true },
  ])('keeps a word on retries that is "$value": $isKept', ({ value, isKept }) => {
    const fields: HeaderField[] = [
      ['stripe-should-retry', value],
      ['x-should-retry', value],
    ]
    expect(toSnapshotHeaders(fields, KEEP)).toEqual(isKept ? fields : [])
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

describe('toSharedHeaders', () => {
  it('asks those for another try who have waited along', () => {
    const asking: HeaderField[] = [
      ['retry-after', '3'],
      ['x-should-retry', 'true'],
    ]
    expect(toSharedHeaders([...asking, ...fieldsOf('Age', 'RateLimit')], KEEP)).toEqual(asking)
  })
})

describe('toReplayHeaders', () => {
  const fields = fieldsOf('Access-Control-Allow-Origin', 'Access-Control-Expose-Headers', 'ETag')
  const replayed = (...kept: readonly HeaderField[]) => toReplayHeaders(kept, NOBODY)

  it.each([
    { who: 'the same Origin', stored: 'https://a.test', current: 'https://a.test', expected: 3 },
    { who: 'no Origin, as before', stored: null, current: null, expected: 3 },
    { who: 'another Origin', stored: 'https://a.test', current: 'https://b.test', expected: 1 },
    { who: 'an Origin, unlike before', stored: null, current: 'https://a.test', expected: 1 },
    { who: 'no Origin, unlike before', stored: 'https://a.test', current: null, expected: 1 },
  ])('gives $expected of three fields to $who', ({ stored, current, expected }) => {
    const given = toReplayHeaders(fields, { stored, current })
    expect(namesOf(given)).toEqual([...namesOf(fields).slice(-expected), 'cache-control'])
  })

  it.each([
    { name: 'Akamai-Cache-Control' },
    { name: 'CDN-Cache-Control' },
    { name: 'CDN_Cache_Control' },
    { name: 'Cloudflare-CDN-Cache-Control' },
    { name: 'Edge-Control' },
    { name: 'Expires' },
    { name: 'Netlify-CDN-Cache-Control' },
    { name: 'Pragma' },
    { name: 'Surrogate-Control' },
    { name: 'Vercel-CDN-Cache-Control' },
    { name: 'X-Accel-Expires' },
  ])('has no $name, which would beat Cache-Control', ({ name }) => {
    expect(replayed(...fieldsOf(name, 'X-Passed'))).toEqual([
      ['x-passed', 'x'],
      ['cache-control', 'no-store'],
    ])
  })

  it.each([
    { name: 'Last-Modified' },
    { name: 'Vary' },
    { name: 'X-Access-Control' },
    { name: 'X-Expires' },
  ])('has $name', ({ name }) => {
    expect(namesOf(replayed(...fieldsOf(name)))).toEqual([name.toLowerCase(), 'cache-control'])
  })

  it.each([
    { said: [], expected: 'no-store' },
    { said: [''], expected: 'no-store' },
    { said: ['public, max-age=60, immutable'], expected: 'no-store' },
    { said: ['s-maxage=60, stale-while-revalidate=5'], expected: 'no-store' },
    { said: ['max-age=60'], expected: 'no-store' },
    { said: ['no-cache'], expected: 'no-store' },
    { said: ['private'], expected: 'private' },
    { said: ['public', 'Private , max-age=60'], expected: 'private' },
    { said: ['private="set-cookie, x", max-age=60'], expected: 'private' },
    { said: ['private, no-store'], expected: 'no-store' },
    { said: ['no-cache="x, private"'], expected: 'no-store' },
    { said: ['not-private'], expected: 'no-store' },
  ])('says $expected alone for $said', ({ said, expected }) => {
    const stored = said.map((value): HeaderField => ['cache-control', value])
    expect(replayed(...stored)).toEqual([['cache-control', expected]])
  })
})
