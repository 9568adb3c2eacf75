import { describe, expect, it } from 'vitest'

import { toPayload } from '../../../src/queue/message-payload.ts'

const text = (body: unknown, source?: Parameters<typeof toPayload>[1]) => {
  const payload = toPayload(body, source)
  return payload === null ? null : [payload.type, new TextDecoder().decode(payload.bytes)]
}

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain; charset=utf-8'
const BYTES_TYPE = 'application/octet-stream'

const eventOf = (over: object) => ({ specversion: '1.0', id: '1', source: '/s', ...over })
const bytesOf = (words: string) => new TextEncoder().encode(words)

const circle: Record<string, unknown> = {}
circle['self'] = circle

const nested = (depth: number) =>
  Array.from({ length: depth }).reduce((inner) => ({ inner }), {} as unknown)

describe('toPayload', () => {
  it.each([
    { of: 'an object', body: { a: 1 }, expected: [JSON_TYPE, '{"a":1}'] },
    { of: 'a list', body: [1, null], expected: [JSON_TYPE, '[1,null]'] },
    { of: 'a number', body: 5, expected: [JSON_TYPE, '5'] },
    { of: 'null', body: null, expected: [JSON_TYPE, 'null'] },
    { of: 'nothing', body: undefined, expected: null },
    { of: 'text', body: 'hello {', expected: [TEXT_TYPE, 'hello {'] },
    { of: 'no letter', body: '', expected: [TEXT_TYPE, ''] },
    { of: 'text that is a number', body: '12', expected: [TEXT_TYPE, '12'] },
    { of: 'text that looks like JSON', body: '{"a":', expected: [TEXT_TYPE, '{"a":'] },
    { of: 'text that is JSON', body: ' {"a": 1.0}', expected: [JSON_TYPE, ' {"a": 1.0}'] },
    { of: 'text that is a list', body: '[1]', expected: [JSON_TYPE, '[1]'] },
    { of: 'a buffer', body: bytesOf('raw').buffer, expected: [BYTES_TYPE, 'raw'] },
    { of: 'a part of a buffer', body: bytesOf('raw').subarray(1), expected: [BYTES_TYPE, 'aw'] },
    { of: 'an event', body: eventOf({ data: { a: 1 } }), expected: [JSON_TYPE, '{"a":1}'] },
    { of: 'an event of text', body: eventOf({ data: 'hi' }), expected: [TEXT_TYPE, 'hi'] },
    { of: 'an event without data', body: eventOf({}), expected: [JSON_TYPE, 'null'] },
    { of: 'an event of zero', body: eventOf({ data: 0 }), expected: [JSON_TYPE, '0'] },
    {
      of: 'an event of bytes',
      body: eventOf({ data_base64: btoa('raw') }),
      expected: [BYTES_TYPE, 'raw'],
    },
    {
      of: 'an event of bytes that are none',
      body: eventOf({ data_base64: '%' }),
      expected: null,
    },
    {
      of: 'an event that is text',
      body: '{"specversion":"1.0","data":{"a":9007199254740993}}',
      expected: [JSON_TYPE, '{"a":9007199254740993}'],
    },
    {
      of: 'an event that is text, of a number',
      body: '{"specversion":"1.0","data":9007199254740993}',
      expected: [JSON_TYPE, '9007199254740993'],
    },
    {
      of: 'an event that is text, of text',
      body: '{"specversion":"1.0","data":"hi"}',
      expected: [TEXT_TYPE, 'hi'],
    },
    {
      of: 'an event that is text, of bytes',
      body: `{"specversion":"1.0","data_base64":"${btoa('raw')}"}`,
      expected: [BYTES_TYPE, 'raw'],
    },
    {
      of: 'an event that is text without data',
      body: '{"specversion":"1.0"}',
      expected: [JSON_TYPE, 'null'],
    },
    { of: 'what contains itself', body: circle, expected: null },
    {
      of: 'what contains itself beside a date',
      body: { at: new Date(0), circle },
      expected: null,
    },
    { of: 'a function', body: { run: () => {} }, expected: null },
    { of: 'what is nested too deep', body: nested(100_000), expected: null },
  ])('reads $of', ({ body, expected }) => {
    expect(text(body)).toEqual(expected)
  })

  it.each([
    { of: 'a member', body: { a: { b: 1 } }, source: '/a', expected: [JSON_TYPE, '{"b":1}'] },
    { of: 'an item', body: { a: [1, 2] }, source: '/a/1', expected: [JSON_TYPE, '2'] },
    { of: 'a slash', body: { 'a/b': 1 }, source: '/a~1b', expected: [JSON_TYPE, '1'] },
    { of: 'nothing', body: { a: 1 }, source: '/b', expected: null },
    { of: 'nothing inherited', body: {}, source: '/constructor', expected: null },
    {
      of: 'a member of an event',
      body: eventOf({ data: 1 }),
      source: '/id',
      expected: [TEXT_TYPE, '1'],
    },
    { of: 'a member of text', body: '{"a":1.50}', source: '/a', expected: [JSON_TYPE, '1.50'] },
    { of: 'nothing of text', body: 'hello', source: '/a', expected: null },
  ])('reads $of where a pointer says so', ({ body, source, expected }) => {
    expect(text(body, source)).toEqual(expected)
  })

  it('reads what a function makes of the message', () => {
    expect(text({ a: { b: 2 } }, (body) => (body as { a: object }).a)).toEqual([
      JSON_TYPE,
      '{"b":2}',
    ])
    expect(text({}, () => undefined)).toBeNull()
    expect(
      text(null, () => {
        throw new Error('no')
      }),
    ).toBeNull()
  })

  it.each([
    { of: 'dates', one: new Date(0), other: new Date(1) },
    { of: 'a date and its text', one: new Date(0), other: new Date(0).toISOString() },
    { of: 'maps', one: new Map([['a', 1]]), other: new Map([['a', 2]]) },
    { of: 'a map and an object', one: new Map([['a', 1]]), other: { a: 1 } },
    { of: 'sets', one: new Set([1]), other: new Set([2]) },
    { of: 'large integers', one: 9_007_199_254_740_993n, other: 9_007_199_254_740_992n },
    { of: 'an integer and a large one', one: 1n, other: 1 },
    { of: 'no number and null', one: Number.NaN, other: null },
    { of: 'no number and infinity', one: Number.NaN, other: Infinity },
    { of: 'buffers', one: bytesOf('a').buffer, other: bytesOf('b').buffer },
    { of: 'bytes and a list', one: bytesOf('a'), other: [97] },
  ])('tells $of apart', ({ one, other }) => {
    expect(text({ it: one })).not.toEqual(text({ it: other }))
    expect(text({ it: one })).toEqual(text({ it: structuredClone(one) }))
  })

  it('leaves everything else where it stood', () => {
    const payload = toPayload({ order: 'o-1', at: new Date(0), gone: undefined }, undefined)
    const read = JSON.parse(new TextDecoder().decode(payload?.bytes)) as object
    expect(read).toMatchObject({ order: 'o-1' })
    expect(Object.keys(read)).toEqual(['order', 'at'])
  })

  it('writes equal dates alike, whether they are one or two', () => {
    const one = new Date(0)
    expect(text({ a: one, b: one })).toEqual(text({ a: new Date(0), b: new Date(0) }))
  })

  it('gives a handler the values as they are', () => {
    const body = { at: new Date(0), amount: 5n }
    expect(toPayload(body, undefined)?.value).toBe(body)
    expect(toPayload('{"specversion":"1.0","data":{"a":1}}', undefined)?.value).toEqual({ a: 1 })
  })
})
