import { gzipSync } from 'node:zlib'

import { describe, expect, it } from 'vitest'

import { type Over, statusOf, useConformance } from '../harness.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()

interface Pair {
  readonly name: string
  /** Default `default`. */
  readonly route?: string
  readonly one: Over
  readonly other: Over
}

const json = (body: string, type = 'application/json'): Over => ({
  body,
  headers: { 'Content-Type': type },
})
const form = (body: string): Over => json(body, 'application/x-www-form-urlencoded')
const multipart = (boundary: string, ...parts: string[]): Over =>
  json(
    [...parts.map((part) => `--${boundary}\r\n${part}\r\n`), `--${boundary}--\r\n`].join(''),
    `multipart/form-data; boundary=${boundary}`,
  )
const field = (name: string, value: string) =>
  `Content-Disposition: form-data; name="${name}"\r\n\r\n${value}`
const gzipped = (body: string): Over => ({
  body: gzipSync(body),
  headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
})
const withQuery = (query: string): Over => ({ path: `/default/query${query}` })

const SAME: readonly Pair[] = [
  { name: '5 and 5.0', one: json('{"n":5}'), other: json('{"n":5.0}') },
  { name: '5 and 5e0', one: json('{"n":5}'), other: json('{"n":5e0}') },
  { name: '5.0 and 0.5E+1', one: json('{"n":5.0}'), other: json('{"n":0.5E+1}') },
  { name: '0 and -0', one: json('{"n":0}'), other: json('{"n":-0}') },
  {
    name: 'members in another order',
    one: json('{"a":1,"b":{"c":2,"d":3}}'),
    other: json('{"b":{"d":3,"c":2},"a":1}'),
  },
  {
    name: 'other white space',
    one: json('{"a":[1,2]}'),
    other: json(' {\n"a" : [ 1 ,\t2 ] }\r\n'),
  },
  {
    name: 'escapes',
    one: json('{"caf\u00E9":"\u20AC / A"}'),
    other: json(String.raw`{"caf\u00e9":"\u20ac \/ \u0041"}`),
  },
  {
    name: 'the media type in another case',
    one: json('{}', 'application/json'),
    other: json('{}', 'Application/JSON'),
  },
  {
    name: 'charset=utf-8 said and not said',
    one: json('{}', 'application/json'),
    other: json('{}', 'application/json; charset=UTF-8'),
  },
  {
    name: 'a parameter quoted',
    one: json('hi', 'text/plain; charset=utf-8'),
    other: json('hi', 'text/plain;charset="UTF-8"'),
  },
  {
    name: '+json likewise',
    one: json('{"a":1,"b":2}', 'application/vnd.api+json'),
    other: json('{"b":2.0,"a":1}', 'application/vnd.api+json'),
  },
  { name: 'a slash at the end', one: { path: '/default/p1' }, other: { path: '/default/p1/' } },
  { name: 'two slashes', one: { path: '/default/p2' }, other: { path: '//default//p2' } },
  {
    name: 'escapes in the path',
    one: { path: '/default/p3~' },
    other: { path: '/default/%703%7e' },
  },
  { name: 'form pairs in another order', one: form('a=1&b=2'), other: form('b=2&a=1') },
  { name: 'form escapes', one: form('a=x+y&b=%41'), other: form('a=x%20y&b=A') },
  {
    name: 'multipart with another boundary',
    one: multipart('one', field('a', '1'), field('b', '2')),
    other: multipart('another', field('a', '1'), field('b', '2')),
  },
  { name: 'gzip and plain', one: json('{"a":1}'), other: gzipped('{"a":1}') },
  {
    name: 'gzip of another spelling',
    one: gzipped('{"a":1,"b":2}'),
    other: gzipped('{"b":2,"a":1.0}'),
  },
  { name: 'the query in another order', one: withQuery('?a=1&b=2'), other: withQuery('?b=2&a=1') },
  { name: 'query escapes', one: withQuery('?a=%41'), other: withQuery('?a=A') },
  {
    name: 'headers that do not count',
    one: { headers: { 'User-Agent': 'one', 'X-Account': '1' } },
    other: { headers: { 'User-Agent': 'two', 'X-Account': '2', 'X-Trace': '3' } },
  },
  {
    name: 'ignored members',
    route: 'ignore',
    one: json('{"a":1,"trace_id":"x","meta":{"sent_at":1,"b":2}}'),
    other: json('{"a":1,"trace_id":{"y":[]},"meta":{"b":2}}'),
  },
  {
    name: 'dates of one instant',
    route: 'dates',
    one: json('{"at":"2026-01-01T12:00:00Z"}'),
    other: json('{"at":"2026-01-01T13:00:00.000+01:00"}'),
  },
  {
    name: 'a header that counts, with one value',
    route: 'headers',
    one: { headers: { 'X-Account': '1', 'X-Other': '1' } },
    other: { headers: { 'x-account': '1', 'X-Other': '2' } },
  },
  {
    name: 'another query where it does not count',
    route: 'no-query',
    one: { path: '/no-query/1?a=1' },
    other: { path: '/no-query/1?a=2' },
  },
]

const DIFFERENT: readonly Pair[] = [
  {
    name: 'integers beyond 2^53',
    one: json('{"n":9007199254740993}'),
    other: json('{"n":9007199254740992}'),
  },
  { name: '1 and 1.0000000000000000001', one: json('1'), other: json('1.0000000000000000001') },
  { name: '5 and "5"', one: json('{"n":5}'), other: json('{"n":"5"}') },
  { name: 'null and absent', one: json('{"a":null}'), other: json('{}') },
  { name: 'arrays in another order', one: json('[1,2]'), other: json('[2,1]') },
  { name: '__proto__ and nothing', one: json('{"__proto__":1}'), other: json('{}') },
  {
    name: 'composed and decomposed letters',
    one: json('"\u00E9"'),
    other: json('"e\u0301"'),
  },
  {
    name: 'another media type',
    one: json('{}', 'application/json'),
    other: json('{}', 'application/vnd.api+json'),
  },
  {
    name: 'another charset of text',
    one: json('hi', 'text/plain; charset=utf-8'),
    other: json('hi', 'text/plain; charset=iso-8859-1'),
  },
  { name: 'equal form names in another order', one: form('a=1&a=2'), other: form('a=2&a=1') },
  {
    name: 'multipart with another part',
    one: multipart('one', field('a', '1')),
    other: multipart('one', field('a', '2')),
  },
  {
    name: 'multipart parts in another order',
    one: multipart('one', field('a', '1'), field('b', '2')),
    other: multipart('one', field('b', '2'), field('a', '1')),
  },
  { name: 'gzip of something else', one: json('{"a":1}'), other: gzipped('{"a":2}') },
  {
    name: 'other bytes',
    one: json('\u0000\u0001', 'application/octet-stream'),
    other: json('\u0000\u0002', 'application/octet-stream'),
  },
  {
    name: 'JSON as text in another order, since text is bytes',
    one: json('{"a":1,"b":2}', 'text/plain'),
    other: json('{"b":2,"a":1}', 'text/plain'),
  },
  { name: 'another query', one: withQuery('?a=1'), other: withQuery('?a=2') },
  {
    name: 'equal query names in another order',
    one: withQuery('?a=1&a=2'),
    other: withQuery('?a=2&a=1'),
  },
  { name: 'another path', one: { path: '/default/p1' }, other: { path: '/default/p2' } },
  { name: 'another method', one: { method: 'POST' }, other: { method: 'PUT' } },
  { name: 'a body and none', one: json('x', 'text/plain'), other: json('', 'text/plain') },
  {
    name: 'a member that is not ignored',
    route: 'ignore',
    one: json('{"a":1,"trace_id":"x"}'),
    other: json('{"a":2,"trace_id":"x"}'),
  },
  {
    name: 'a member of an ignored name elsewhere',
    route: 'ignore',
    one: json('{"meta":{"trace_id":1}}'),
    other: json('{"meta":{"trace_id":2}}'),
  },
  {
    name: 'dates of two instants',
    route: 'dates',
    one: json('{"at":"2026-01-01T12:00:00Z"}'),
    other: json('{"at":"2026-01-01T12:00:00+01:00"}'),
  },
  {
    name: 'a header that counts',
    route: 'headers',
    one: { headers: { 'X-Account': '1' } },
    other: { headers: { 'X-Account': '2' } },
  },
  {
    name: 'a header that counts and is absent',
    route: 'headers',
    one: { headers: { 'X-Account': '' } },
    other: {},
  },
]

describe.concurrent('a retry', () => {
  it.each(SAME)('is the same request with $name', async ({ route = 'default', one, other }) => {
    const operation = conformance.operation(route)
    const first = await operation.send(one)
    const second = await operation.send(other)
    expect([first.status, statusOf(first)]).toEqual([201, 'executed'])
    expect([second.status, statusOf(second), second.text]).toEqual([201, 'replayed', first.text])
  })

  it.each(DIFFERENT)('is a mismatch with $name', async ({ route = 'default', one, other }) => {
    const operation = conformance.operation(route)
    const first = await operation.send(one)
    expect([first.status, statusOf(first)]).toEqual([201, 'executed'])
    expectProblem(await operation.send(other), 'key-reused')
    // The first request is still what the key names.
    expect(statusOf(await operation.send(one))).toBe('replayed')
  })
})

describe.concurrent('a payload that cannot be compared', () => {
  it.each([
    { name: 'a duplicate member', body: '{"a":1,"a":1}' },
    { name: 'a duplicate member by an escape', body: String.raw`{"a":1,"\u0061":2}` },
    { name: 'a duplicate member deep inside', body: '{"x":[{"a":1,"b":2,"a":3}]}' },
    { name: 'JSON that does not parse', body: '{"a":1,}' },
    { name: 'something behind the value', body: '{} {}' },
    { name: 'a byte order mark', body: '\uFEFF{}' },
    { name: 'an unpaired surrogate', body: String.raw`"\ud800"` },
    { name: 'malformed UTF-8', body: Buffer.from([0x22, 0xff, 0x22]) },
    { name: 'nothing but blanks', body: ' \n' },
    { name: '1001 levels', body: '['.repeat(1001) + ']'.repeat(1001) },
    {
      name: 'no gzip under gzip',
      body: '{}',
      headers: { 'Content-Encoding': 'gzip' },
    },
    {
      name: 'multipart without a boundary',
      body: 'x',
      headers: { 'Content-Type': 'multipart/form-data' },
    },
  ])('is refused before any claim: $name', async ({ body, headers }) => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ body, ...(headers && { headers }) }), 'payload-invalid')
    expect(one.calls()).toHaveLength(0)
    expect(statusOf(await one.send())).toBe('executed')
  })

  it('is taken 1000 levels deep', async () => {
    const one = conformance.operation('default')
    const reply = await one.send({ body: '['.repeat(1000) + ']'.repeat(1000) })
    expect(statusOf(reply)).toBe('executed')
  })

  it('is not looked into where its media type is not JSON', async () => {
    const one = conformance.operation('default')
    const reply = await one.send({ body: '{"a":1,', headers: { 'Content-Type': 'text/plain' } })
    expect([reply.status, one.calls()[0]?.body.toString()]).toEqual([201, '{"a":1,'])
  })

  it('is too large where it decompresses beyond the limit', async () => {
    const one = conformance.operation('small-limits')
    const body = gzipSync(JSON.stringify('x'.repeat(10_000)))
    expect(body.length).toBeLessThanOrEqual(64)
    expectProblem(await one.send({ ...gzipped(''), body }), 'payload-too-large')
    expect(one.calls()).toHaveLength(0)
  })
})
