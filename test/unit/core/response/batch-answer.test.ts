import { describe, expect, it } from 'vitest'

import {
  summarize,
  toAnsweredItem,
  toAnswerTexts,
} from '../../../../src/core/response/batch-answer.ts'

const NOW = Date.parse('2027-01-01T00:00:00Z')

interface Given {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array | null
  readonly isUnknownRetried?: boolean
}

function item({ status = 201, headers = {}, body = '', isUnknownRetried = false }: Given = {}) {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  const answer = { keyText: '"a"', status, headers: new Headers(headers), body: bytes }
  return toAnsweredItem(answer, isUnknownRetried, NOW)
}

const JSON_TYPE = { 'Content-Type': 'application/json; charset=utf-8' }
const executed = { 'Idempotency-Status': 'executed' }
const bodyOf = (given: Given): unknown => JSON.parse(item(given).text).body

describe('toAnsweredItem', () => {
  it('splices JSON as it came', () => {
    const body = String.raw` {"n":9007199254740993.10,"s":"\u00e9","__proto__":{"a":[1]}} `
    expect(item({ headers: JSON_TYPE, body }).text).toContain(`"body":${body}`)
  })

  it.each([
    { name: 'text as a string', body: 'a "b"\n\u2028', headers: { 'Content-Type': 'text/plain' } },
    { name: 'what is JSON by its type alone as a string', body: '{"a":1', headers: JSON_TYPE },
    { name: 'two JSON values as a string', body: '{} {}', headers: JSON_TYPE },
    { name: 'text without a type as a string', body: '{"a":1}', headers: {} },
    { name: 'a byte order mark', body: '\ufeff{}', headers: JSON_TYPE },
  ])('writes $name', ({ body, headers }) => {
    expect(bodyOf({ body, headers })).toBe(body)
  })

  it('writes bytes that are no text in base64', () => {
    const body = Uint8Array.from({ length: 100_000 }, (_, index) => index % 256)
    const written = JSON.parse(item({ body }).text)
    expect(written.encoding).toBe('base64')
    expect(Uint8Array.from(atob(written.body), (char) => char.charCodeAt(0))).toEqual(body)
  })

  it('writes what is still encoded in base64', () => {
    const written = JSON.parse(item({ body: 'abc', headers: { 'Content-Encoding': 'x' } }).text)
    expect(written).toMatchObject({ body: 'YWJj', encoding: 'base64' })
  })

  it('writes no body as null, and says where one was left out', () => {
    expect(JSON.parse(item({ status: 204 }).text)).not.toHaveProperty('omitted')
    expect(JSON.parse(item({ body: null }).text)).toMatchObject({ body: null, omitted: true })
  })

  it('keeps the headers of the answer, without those of the delivery', () => {
    const headers = {
      Location: '/payments/1',
      ETag: '"1"',
      'Content-Length': '7',
      'Set-Cookie': 'session=1',
      'Access-Control-Allow-Origin': '*',
      'X-Correlation-Id': 'c',
    }
    expect(JSON.parse(item({ headers }).text).headers).toEqual({
      location: '/payments/1',
      etag: '"1"',
    })
  })

  it.each([
    { name: 'a success', given: { headers: executed }, expected: false },
    { name: 'an end', given: { status: 422, headers: executed }, expected: false },
    {
      name: 'a problem that says so',
      given: { status: 503, headers: { 'X-Should-Retry': 'true' } },
      expected: true,
    },
    {
      name: 'a problem that says no',
      given: {
        status: 429,
        headers: { 'X-Should-Retry': 'false', 'Idempotency-Status': 'not-executed' },
      },
      expected: false,
    },
    {
      name: 'an API that asks for it in the other field',
      given: {
        status: 402,
        headers: { 'Stripe-Should-Retry': 'true', 'Idempotency-Status': 'not-executed' },
      },
      expected: true,
    },
    {
      name: 'an API that forbids it in the other field',
      given: {
        status: 503,
        headers: { 'Stripe-Should-Retry': 'false', 'Idempotency-Status': 'not-executed' },
      },
      expected: false,
    },
    {
      name: 'an API that was busy',
      given: { status: 429, headers: { 'Idempotency-Status': 'not-executed' } },
      expected: true,
    },
    {
      name: 'an API that did not know the caller',
      given: { status: 401, headers: { 'Idempotency-Status': 'not-executed' } },
      expected: false,
    },
    {
      name: 'an unknown outcome that is held',
      given: { status: 500, headers: { 'Idempotency-Status': 'unknown' } },
      expected: false,
    },
    {
      name: 'an unknown outcome that is found out',
      given: { status: 500, headers: { 'Idempotency-Status': 'unknown' }, isUnknownRetried: true },
      expected: true,
    },
  ])('says whether another try is of use: $name', ({ given, expected }) => {
    const answered = item(given)
    expect(answered.isRetryable).toBe(expected)
    expect(JSON.parse(answered.text).retryable).toBe(expected)
  })
})

describe('summarize', () => {
  it('is 200 with the word of all items where all are alike', () => {
    const items = [item({ headers: executed }), item({ status: 204, headers: executed })]
    expect(summarize(items)).toEqual({
      status: 200,
      word: 'executed',
      isRetryable: false,
      retryAfterMs: 0,
    })
  })

  it('is 207 where one item is no success', () => {
    const failed = item({ status: 302, headers: { 'Idempotency-Status': 'replayed' } })
    expect(summarize([item({ headers: executed }), failed])).toMatchObject({
      status: 207,
      word: 'mixed',
    })
  })

  it('waits as long as the slowest item that is worth another try', () => {
    const busy = (after: string) =>
      item({ status: 409, headers: { 'X-Should-Retry': 'true', 'Retry-After': after } })
    const never = item({ status: 409, headers: { 'Retry-After': '900' } })
    const items = [busy('3'), busy('Fri, 01 Jan 2027 00:00:07 GMT'), never]
    expect(summarize(items)).toMatchObject({ isRetryable: true, retryAfterMs: 7_000 })
    const exact = item({
      status: 503,
      headers: { 'X-Should-Retry': 'true', 'Retry-After-Ms': '8500' },
    })
    expect(summarize([...items, exact])).toMatchObject({ retryAfterMs: 8_500 })
  })
})

describe('toAnswerTexts', () => {
  it('is JSON with the items in their order', () => {
    const items = [item({ headers: executed, body: '1' }), item({ status: 503 })]
    const answer = JSON.parse(toAnswerTexts(summarize(items), items).join(''))
    expect(answer.retryable).toBe(false)
    expect(answer.items.map(({ status }: { status: number }) => status)).toEqual([201, 503])
  })
})
