import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { createDigest } from '../../../../src/core/digest.ts'
import { toCanonicalText } from '../../../../src/core/fingerprint/canonical-json.ts'
import {
  type Differences,
  findDifferences,
  markPlaces,
} from '../../../../src/core/fingerprint/differences.ts'
import {
  type ComparedRequest,
  type FingerprintRules,
  readBody,
  toComparedRequest,
} from '../../../../src/core/fingerprint/fingerprint.ts'
import { childrenOf, findValue, rootOf, type Span } from '../../../../src/core/json/spans.ts'

const DIGEST = createDigest()
const MIB = 1_048_576
const KIB_64 = 65_536

interface Sent {
  readonly body: string
  readonly type?: string
  readonly method?: string
  readonly path?: string
  readonly search?: string
  readonly tag?: string
  readonly override?: string
}

async function read(sent: Sent, over: Partial<FingerprintRules> = {}): Promise<ComparedRequest> {
  const rules = { ignore: [], dates: [], headers: [], query: true, ...over }
  const { body, type = 'application/json', method = 'POST', path = '/', search = '' } = sent
  const headers = new Headers({ 'Content-Type': type })
  if (sent.tag !== undefined) headers.set('X-Tag', sent.tag)
  if (sent.override !== undefined) headers.set('X-HTTP-Method-Override', sent.override)
  const bytes = new TextEncoder().encode(body)
  const found = await readBody(bytes, headers, rules, MIB)
  if (!found.ok) throw new Error('The body must parse.')
  return toComparedRequest({ method, path, search, headers }, found.value, rules)
}

async function differencesOf(
  first: Sent,
  second: Sent,
  rules?: Partial<FingerprintRules>,
): Promise<Differences> {
  const known = markPlaces(await read(first, rules))
  return findDifferences(known, await read(second, rules), DIGEST, 'key')
}

const json = (body: string): Sent => ({ body })

async function pointersOf(first: string, second: string, rules?: Partial<FingerprintRules>) {
  return (await differencesOf(json(first), json(second), rules)).pointers
}

/** So many members, and one beside them. */
const many = (count: number, over: Record<string, unknown> = {}) => {
  const members = Array.from({ length: count }, (_, index) => [`m${index}`, index])
  return JSON.stringify({ list: { ...Object.fromEntries(members), ...over }, other: 1 })
}

/** So many objects, each in the one before; the innermost holds the value. */
const deep = (depth: number, value: number) =>
  `${'{"a":'.repeat(depth)}${value}${'}'.repeat(depth)}`

const FORM = 'application/x-www-form-urlencoded'
const form = (body: string): Sent => ({ body, type: FORM })
const pairs = (count: number, over: Record<string, unknown> = {}) => {
  const values = Object.entries({
    ...Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, 1])),
    ...over,
  })
  return values.map(([name, value]) => `${name}=${String(value)}`).join('&')
}

const multipart = (...parts: readonly string[]): Sent => ({
  type: 'multipart/form-data; boundary=b',
  body: `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--`,
})
const field = (name: string, value: string, more = '') =>
  `Content-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}`

/** A JSON text of so many bytes. */
const sized = (bytes: number, end = '') => {
  const empty = JSON.stringify({ a: 1, text: end })
  return JSON.stringify({ a: 1, text: 'x'.repeat(bytes - empty.length) + end })
}

describe('markPlaces', () => {
  it('names every place of a request', async () => {
    const sent = { body: '{"a":1,"b":{"c":[true,{}]}}', search: '?page=1&page=2', tag: 't' }
    const marks = markPlaces(await read(sent, { headers: ['X-Tag'] }))
    expect([...marks.keys()]).toEqual([
      'method',
      'path',
      'query',
      'media-type',
      'headers:x-tag',
      'body',
      'bytes',
      'query:/page',
      'body:/a',
      'body:/b/c/0',
      'body:/b/c/1',
    ])
  })

  it('keeps a value of up to 8 characters as it is, and a checksum of a longer one', async () => {
    const marks = markPlaces(await read(json('{"a":12345678,"b":123456789}')))
    expect(marks.get('body:/a')).toBe('=12345678')
    expect(marks.get('body:/b')).toBe('#1kl8mjq')
  })

  it.each([
    { name: '64 members', body: many(63), places: 64 },
    { name: '65 members', body: many(64), places: 2 },
    { name: '64 elements', body: JSON.stringify(Array<number>(64).fill(1)), places: 64 },
    { name: '64 fields of a form', body: pairs(64), type: FORM, places: 64 },
    { name: '65 fields of a form', body: pairs(65), type: FORM, places: 1 },
    { name: '8 levels', body: deep(8, 1), places: 1 },
    { name: 'a name of 4095 letters', body: `{"${'n'.repeat(4_095)}":1}`, places: 1 },
    { name: 'an empty object', body: '{}', places: 0 },
    { name: 'a body of 64 KiB', body: sized(KIB_64), places: 2 },
    { name: 'a body of a byte more', body: sized(KIB_64 + 1), places: 1 },
  ])('keeps $places places of $name', async ({ body, type = 'application/json', places }) => {
    const marks = markPlaces(await read({ body, type }))
    expect([...marks.keys()].filter((place) => place.startsWith('body:'))).toHaveLength(places)
  })

  it.each([
    { length: 4_095, expected: `body:/${'n'.repeat(4_095)}` },
    { length: 4_096, expected: 'body:' },
  ])('keeps a name of $length letters: $expected.length', async ({ length, expected }) => {
    const request = await read(json(`{"${'n'.repeat(length)}":1}`))
    expect([...markPlaces(request).keys()]).toContain(expected)
  })
})

describe('findDifferences', () => {
  it.each<{ name: string; first: Partial<Sent>; second: Partial<Sent> }>([
    { name: 'has none any more', first: { override: 'DELETE' }, second: {} },
    { name: 'has one now', first: {}, second: { override: 'DELETE' } },
    { name: 'has another', first: { override: 'PUT' }, second: { override: 'DELETE' } },
  ])(
    'tells of a header that counts wherever it is, where a request $name',
    async ({ first, second }) => {
      const body = '{"a":1}'
      const differences = await differencesOf({ body, ...first }, { body, ...second })
      expect(differences).toEqual({ parts: ['headers'], pointers: [], queryPointers: [] })
    },
  )

  it.each([
    { name: 'a number', first: '{"a":1,"b":2}', second: '{"a":1,"b":3}', at: ['/b'] },
    { name: 'a type', first: '{"a":1}', second: '{"a":"1"}', at: ['/a'] },
    { name: 'null for nothing', first: '{"a":null,"b":1}', second: '{"b":1}', at: ['/a'] },
    { name: 'depth', first: '{"a":{"b":[1]}}', second: '{"a":{"b":[2]}}', at: ['/a/b/0'] },
    { name: 'one that is new', first: '{"a":1}', second: '{"a":1,"b":0}', at: ['/b'] },
    { name: 'one that is gone', first: '{"a":1,"b":0}', second: '{"a":1}', at: ['/b'] },
    {
      name: 'all three at once',
      first: '{"a":1,"b":1,"c":1}',
      second: '{"d":1,"b":2,"c":1}',
      at: ['/a', '/b', '/d'],
    },
    { name: 'a member in a new branch', first: '{}', second: '{"a":{"b":1}}', at: ['/a/b'] },
    {
      name: 'every leaf that is gone',
      first: '{"a":{"b":1,"c":1}}',
      second: '{}',
      at: ['/a/b', '/a/c'],
    },
    { name: 'a branch that was empty', first: '{"a":{}}', second: '{"a":{"b":1}}', at: ['/a'] },
    { name: 'what was in a branch', first: '{"a":{"b":1}}', second: '{"a":{}}', at: ['/a/b'] },
    { name: 'what a scalar replaces', first: '{"a":{"b":1}}', second: '{"a":2}', at: ['/a/b'] },
    { name: 'a scalar that grew', first: '{"a":2}', second: '{"a":{"b":1}}', at: ['/a'] },
    { name: 'an empty list for an object', first: '{"a":[]}', second: '{"a":{}}', at: ['/a'] },
    { name: 'a longer list', first: '[1]', second: '[1,2]', at: ['/1'] },
    { name: 'a shorter list', first: '[1,2,3]', second: '[1]', at: ['/1', '/2'] },
    { name: 'a list that lost its first', first: '[1,2]', second: '[2]', at: ['/0', '/1'] },
    { name: 'a list that was empty', first: '[]', second: '[0]', at: ['/0'] },
    {
      name: 'two elements that changed places',
      first: '[1,2,3]',
      second: '[1,3,2]',
      at: ['/1', '/2'],
    },
    { name: 'a name with ~ and /', first: '{"~/":1}', second: '{"~/":2}', at: ['/~0~1'] },
    { name: 'a name that looks escaped', first: '{"~1":1}', second: '{"~1":2}', at: ['/~01'] },
    { name: 'the empty name', first: '{"":1}', second: '{"":2}', at: ['/'] },
    { name: 'a name with an escape', first: '{"\\u00e9":1}', second: '{"é":2}', at: ['/é'] },
    {
      name: 'a name that begins another',
      first: '{"a":1,"ab":1}',
      second: '{"a":1,"ab":2}',
      at: ['/ab'],
    },
    {
      name: 'a new name that begins another',
      first: '{"ab":1}',
      second: '{"ab":1,"a":1}',
      at: ['/a'],
    },
    { name: '__proto__', first: '{"__proto__":1}', second: '{"__proto__":2}', at: ['/__proto__'] },
    {
      name: '__proto__ that is new',
      first: '{}',
      second: '{"__proto__":{"a":1}}',
      at: ['/__proto__/a'],
    },
    { name: 'toString', first: '{"a":1}', second: '{"a":1,"toString":1}', at: ['/toString'] },
    {
      name: 'digits that doubles lose',
      first: '{"a":9007199254740993}',
      second: '{"a":9007199254740992}',
      at: ['/a'],
    },
    { name: 'what was empty', first: '{}', second: '{"a":1}', at: ['/a'] },
    { name: 'what a scalar grew to', first: '5', second: '{"b":5}', at: ['/b'] },
    {
      name: 'all of what a scalar grew to',
      first: '5',
      second: '[[5],{"a":6}]',
      at: ['/0/0', '/1/a'],
    },
    {
      name: 'all of what shrank to a scalar',
      first: '{"b":5,"c":[6]}',
      second: '5',
      at: ['/b', '/c/0'],
    },
    { name: 'level 8', first: deep(8, 1), second: deep(8, 2), at: ['/a'.repeat(8)] },
    { name: 'the branch at level 8', first: deep(9, 1), second: deep(9, 2), at: ['/a'.repeat(8)] },
  ])('points at $name', async ({ first, second, at }) => {
    const found = await differencesOf(json(first), json(second))
    expect({ ...found, pointers: found.pointers.toSorted() }).toEqual({
      parts: ['body'],
      pointers: at,
      queryPointers: [],
    })
  })

  it.each([
    { name: 'a number', first: '1', second: '2' },
    { name: 'a string', first: '"a"', second: '"b"' },
    { name: 'an empty object for a number', first: '1', second: '{}' },
    { name: 'a number for an empty object', first: '{}', second: '1' },
    { name: 'an empty list for an empty object', first: '{}', second: '[]' },
  ])('says that the body differs where it is $name', async ({ first, second }) => {
    const found = await differencesOf(json(first), json(second))
    expect(found).toEqual({ parts: ['body'], pointers: [], queryPointers: [] })
  })

  it.each([
    { name: '1 and 1.0', first: '1', second: '1.0' },
    { name: '100 and 1e2', first: '100', second: '1E+2' },
    { name: '0 and -0', first: '0', second: '-0.0' },
    { name: 'a letter and its escape', first: '"a"', second: String.raw`"\u0061"` },
    { name: 'white space', first: '[1,{"a":2}]', second: ' [ 1 , { "a" : 2 } ] ' },
    { name: 'the order of members', first: '{"a":1,"b":2}', second: '{"b":2,"a":1}' },
  ])('does not tell $name apart', async ({ first, second }) => {
    expect(await pointersOf(`{"v":${first},"x":1}`, `{"v":${second},"x":2}`)).toEqual(['/x'])
    expect(await pointersOf(`{"v":${second},"x":1}`, `{"v":${first},"x":2}`)).toEqual(['/x'])
  })

  it.each([
    { name: 'a changed one', first: '"t":1,"x":1', second: '"t":2,"x":2' },
    { name: 'a new one', first: '"x":1', second: '"t":[1],"x":2' },
    { name: 'one that is gone', first: '"t":{"a":1},"x":1', second: '"x":2' },
  ])('leaves out what the rules leave out: $name', async ({ first, second }) => {
    const rules = { ignore: ['/t', '/in/t'] }
    const body = (members: string) => `{"in":{${members}},${members}}`
    expect(await pointersOf(body(first), body(second), rules)).toEqual(['/in/x', '/x'])
  })

  it.each([
    { name: 'a list', first: '["x"]', second: '["x",5]', rules: { ignore: ['/0'] }, at: ['/1'] },
    {
      name: 'a list of two',
      first: '["x","y"]',
      second: '["z","y",5]',
      rules: { ignore: ['/0', '/1'] },
      at: ['/2'],
    },
    {
      name: 'an object',
      first: '{"x":1}',
      second: '{"x":2,"b":5}',
      rules: { ignore: ['/x'] },
      at: ['/b'],
    },
  ])(
    'points at what is added to $name of nothing that counts',
    async ({ first, second, rules, at }) => {
      expect(await pointersOf(first, second, rules)).toEqual(at)
    },
  )

  it('leaves it out of a branch that is kept as one, too', async () => {
    const rules = { ignore: ['/list/t'], dates: ['/list/on'] }
    const first = many(100, { t: 1, on: '2026-01-01T00:00:00Z' })
    const same = many(100, { t: 2, on: '2026-01-01T01:00:00+01:00' }).replace('1}', '2}')
    expect(await pointersOf(first, same, rules)).toEqual(['/other'])
    expect(await pointersOf(first, many(100, { t: 2, on: '2026-01-02' }), rules)).toEqual(['/list'])
  })

  it.each([
    { name: 'one instant', second: '2026-01-01T01:00:00.0+01:00', at: ['/x'] },
    { name: 'another instant', second: '2026-01-01T00:00:00.1Z', at: ['/on', '/x'] },
    { name: 'no date-time', second: 'soon', at: ['/on', '/x'] },
  ])('compares date-times as instants: $name', async ({ second, at }) => {
    const body = (on: string, x: number) => JSON.stringify({ on, x })
    const first = body('2026-01-01T00:00:00Z', 1)
    expect(await pointersOf(first, body(second, 2), { dates: ['/on'] })).toEqual(at)
  })

  it.each([
    { name: 'a value', first: 'a=1&b=2', second: 'b=3&a=1', at: ['/b'] },
    { name: 'a new field', first: 'a=1', second: 'a=1&b=', at: ['/b'] },
    { name: 'a field that is gone', first: 'a=1&b=2', second: 'b=2', at: ['/a'] },
    { name: 'a second value', first: 'a=1&b=2', second: 'a=1&b=2&a=1', at: ['/a'] },
    { name: 'values in another order', first: 'a=1&a=2', second: 'a=2&a=1', at: ['/a'] },
    { name: 'one value for two', first: 'a=1&a=2', second: 'a=12', at: ['/a'] },
    { name: 'an escaped name', first: '%7E%2F=1', second: '~/=2', at: ['/~0~1'] },
    { name: 'a name that is not ASCII', first: '%C3%A9=1', second: '%C3%A9=2', at: ['/é'] },
    { name: '__proto__', first: '__proto__=1', second: '__proto__=2', at: ['/__proto__'] },
  ])('points in a form and a query at $name', async ({ first, second, at }) => {
    expect(await differencesOf(form(first), form(second))).toEqual({
      parts: ['body'],
      pointers: at,
      queryPointers: [],
    })
    const inQuery = (query: string) => ({ body: '1', search: `?${query}` })
    expect(await differencesOf(inQuery(first), inQuery(second))).toEqual({
      parts: ['query'],
      pointers: [],
      queryPointers: at,
    })
  })

  it('reads forms and queries by their meaning, and leaves out what the rules leave out', async () => {
    const rules = { ignore: ['/t'], dates: ['/on'] }
    const first = { ...form('a=b+c&t=1&on=2026-01-01T00:00:00Z'), search: '?q=a+b&z=1' }
    const second = { ...form('on=2026-01-01T01:00:00%2B01:00&a=b%20c&x=1'), search: '?z=1&q=a%20b' }
    expect(await differencesOf(first, second, rules)).toEqual({
      parts: ['body'],
      pointers: ['/x'],
      queryPointers: [],
    })
  })

  it('says nothing of a query that does not count', async () => {
    const found = await differencesOf(
      { body: '1', search: '?page=1' },
      { body: '2', search: '?page=2' },
      { query: false },
    )
    expect(found).toEqual({ parts: ['body'], pointers: [], queryPointers: [] })
  })

  it.each([
    {
      name: 'a value',
      first: [field('a', '1'), field('b', '1')],
      second: [field('a', '1'), field('b', '2')],
      at: ['/b'],
    },
    {
      name: 'a new part',
      first: [field('a', '1')],
      second: [field('a', '1'), field('b', '')],
      at: ['/b'],
    },
    {
      name: 'a part that is gone',
      first: [field('a', '1'), field('b', '1')],
      second: [field('b', '1')],
      at: ['/a'],
    },
    {
      name: 'the name of a file',
      first: [field('f', '1', '; filename="x"')],
      second: [field('f', '1', '; filename="y"')],
      at: ['/f'],
    },
    {
      name: 'the type of a part',
      first: [field('a', '1')],
      second: [`Content-Type: text/csv\r\n${field('a', '1')}`],
      at: ['/a'],
    },
    { name: 'a part without a name', first: ['\r\n1'], second: ['\r\n2'], at: ['/'] },
  ])('points in multipart at $name', async ({ first, second, at }) => {
    const found = await differencesOf(multipart(...first), multipart(...second))
    expect(found).toEqual({ parts: ['body'], pointers: at, queryPointers: [] })
  })

  it.each([
    { name: 'another value', first: 'one', second: 'two', expected: ['headers', 'body'] },
    { name: 'one that is missing', first: 'one', second: undefined, expected: ['headers', 'body'] },
    { name: 'an empty one', first: undefined, second: '', expected: ['headers', 'body'] },
    { name: 'the same value', first: 'one', second: 'one', expected: ['body'] },
  ])('names the headers where one that counts has $name', async ({ first, second, expected }) => {
    const sent = (body: string, tag?: string) => ({ body, ...(tag === undefined ? {} : { tag }) })
    const rules = { headers: ['x-TAG'] }
    const found = await differencesOf(sent('1', first), sent('2', second), rules)
    expect(found.parts).toEqual(expected)
    const uncounted = await differencesOf(sent('1', first), sent('2', second))
    expect(uncounted.parts).toEqual(['body'])
  })

  it.each<{ part: string; second: Partial<Sent> }>([
    { part: 'method', second: { method: 'PUT' } },
    { part: 'path', second: { path: '/other' } },
    { part: 'query', second: { search: '?a=1' } },
    { part: 'media-type', second: { type: 'application/json; v=2' } },
  ])('names the $part alone where nothing else differs', async ({ part, second }) => {
    const first = json('{"a":1}')
    const { parts, pointers } = await differencesOf(first, { ...first, ...second })
    expect(parts).toEqual([part])
    expect(pointers).toEqual([])
  })

  it('does not point into a body of another media type', async () => {
    const { parts, pointers } = await differencesOf(json('{"a":1}'), form('a=2&b=3'))
    expect(parts).toEqual(['media-type', 'body'])
    expect(pointers).toEqual([])
  })

  it('names all the parts that differ, in one order', async () => {
    const rules = { headers: ['X-Tag'] }
    const first = { body: 'x', type: 'text/plain', tag: 'one' }
    const second = {
      body: 'y',
      type: 'text/csv',
      tag: 'two',
      method: 'PUT',
      path: '/other',
      search: '?a',
    }
    const found = await differencesOf(first, second, rules)
    expect(found).toEqual({
      parts: ['method', 'path', 'query', 'media-type', 'headers', 'body'],
      pointers: [],
      queryPointers: ['/a'],
    })
  })

  it('says that plain bytes differ, and not where', async () => {
    const found = await differencesOf(
      { body: 'a=1', type: 'text/plain' },
      { body: 'a=2', type: 'text/plain' },
    )
    expect(found).toEqual({ parts: ['body'], pointers: [], queryPointers: [] })
  })

  it.each([
    {
      name: 'a change among too many',
      first: many(200),
      second: many(200, { m7: 'x' }),
      at: ['/list'],
    },
    { name: 'one more than too many', first: many(200), second: many(201), at: ['/list'] },
    { name: 'so few that they are kept apart', first: many(200), second: many(63), at: ['/list'] },
    {
      name: 'the one that makes them too many',
      first: many(63),
      second: many(64),
      at: ['/list/m63'],
    },
    {
      name: 'a change beside too many',
      first: many(200),
      second: many(200).replace('1}', '2}'),
      at: ['/other'],
    },
    { name: 'too many that are gone', first: many(200), second: '{"other":1}', at: ['/list'] },
  ])('points at $name, and nowhere else', async ({ first, second, at }) => {
    expect(await pointersOf(first, second)).toEqual(at)
  })

  it('points at the first 64 of too many that are new', async () => {
    const at = await pointersOf(many(3), many(200))
    expect(at).toEqual(Array.from({ length: 64 }, (_, index) => `/list/m${index + 3}`))
  })

  it.each([
    { name: 'many after few', first: pairs(3), second: pairs(66), at: ['/p3', '/p65'], count: 63 },
    { name: 'few after many', first: pairs(66), second: pairs(3), at: [], count: 0 },
    { name: 'many after many', first: pairs(66), second: pairs(66, { p3: 2 }), at: [], count: 0 },
  ])('tells no field of a form or query wrongly: $name', async ({ first, second, at, count }) => {
    const forms = await differencesOf(form(first), form(second))
    expect(forms.parts).toEqual(['body'])
    expect(forms.pointers).toHaveLength(count)
    expect(forms.pointers).toEqual(expect.arrayContaining(at))
    const inQuery = (query: string) => ({ body: '1', search: `?${query}` })
    const queries = await differencesOf(inQuery(first), inQuery(second))
    expect(queries.parts).toEqual(['query'])
    expect(queries.queryPointers).toHaveLength(count)
    expect(queries.queryPointers).toEqual(expect.arrayContaining(at))
  })

  it('does not take a query for another that it would only keep otherwise', async () => {
    const query = pairs(65)
    const found = await differencesOf(
      { body: '1', search: `?${query}` },
      { body: '2', search: `?${query.split('&').toReversed().join('&')}` },
    )
    expect(found.parts).toEqual(['body'])
  })

  it('says that a body of more than 64 KiB differs, and not where', async () => {
    const found = await differencesOf(json(sized(KIB_64 + 1, 'a')), json(sized(KIB_64 + 1, 'b')))
    expect(found).toEqual({ parts: ['body'], pointers: [], queryPointers: [] })
    expect(await pointersOf(sized(KIB_64, 'a'), sized(KIB_64, 'b'))).toEqual(['/text'])
  })

  it('knows in a body of more than 64 KiB no difference where there is another', async () => {
    const body = sized(KIB_64 + 1)
    const found = await differencesOf({ body, path: '/a' }, { body, path: '/b' })
    expect(found).toEqual({ parts: ['path'], pointers: [], queryPointers: [] })
  })
})

/** What stands at each place that holds nothing further, in the form that is compared. */
function leavesOf(text: string, span: Span = rootOf(text), pointer = ''): [string, string][] {
  const inside = childrenOf(text, span)
  if (inside.length === 0) {
    return [[pointer, toCanonicalText(text.slice(span.start, span.end), undefined)]]
  }
  return inside.flatMap((child) => leavesOf(text, child.span, `${pointer}/${toToken(child.token)}`))
}

const toToken = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1')

function canonicalAt(text: string, pointer: string): string | null {
  const tokens = pointer.slice(1).split('/')
  const span = findValue(
    text,
    tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')),
  )
  return span && toCanonicalText(text.slice(span.start, span.end), undefined)
}

const isWithin = (inner: string, outer: string) => inner === outer || inner.startsWith(`${outer}/`)

/** Names that no list has, since a list and an object of its indexes are one to the places. */
const name = fc.oneof(
  fc.constantFrom('a', 'b', 'ab', '~', '/', '~1', '', '__proto__', 'constructor', 'é'),
  fc.string({ maxLength: 3 }).filter((text) => !/^\d+$/.test(text)),
)

const scalar = fc.constantFrom('1', '1.0', '2', '9007199254740993', '"s"', 'null', 'true', '"1"')

/** JSON texts, from small to so wide and deep that branches are kept as one. */
const { value } = fc.letrec<{ value: string }>((tie) => {
  const members = (maxLength: number, of: fc.Arbitrary<string>) =>
    fc
      .uniqueArray(fc.tuple(name, of), { maxLength, selector: ([key]) => key })
      .map((list) => `{${list.map(([key, text]) => `${JSON.stringify(key)}: ${text}`).join()}}`)
  const list = (maxLength: number, of: fc.Arbitrary<string>) =>
    fc.array(of, { maxLength }).map((texts) => `[${texts.join()}]`)
  return {
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      { weight: 2, arbitrary: scalar },
      { weight: 3, arbitrary: members(4, tie('value')) },
      { weight: 2, arbitrary: list(4, tie('value')) },
      { weight: 1, arbitrary: members(100, scalar) },
      { weight: 1, arbitrary: list(100, scalar) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.integer({ min: 6, max: 10 }), tie('value'))
          .map(([depth, text]) => `${'{"d":'.repeat(depth)}${text}${'}'.repeat(depth)}`),
      },
    ),
  }
})

/** Two bodies: of one spelling, alike but for one scalar, or of no relation. */
const bodies = fc
  .oneof(
    fc.tuple(value, value),
    value.map((text): [string, string] => [text, text.replaceAll('1.0', '1')]),
    fc.tuple(value, scalar, fc.nat()).map(([text, other, at]): [string, string] => {
      const places = [...text.matchAll(/null|true|9007199254740993/g)]
      const place = places[at % places.length]
      if (place === undefined) return [text, other]
      const end = place.index + place[0].length
      return [text, text.slice(0, place.index) + other + text.slice(end)]
    }),
  )
  .map((texts) => texts.map((text) => `{"of": ${text}}`) as [string, string])

describe('findDifferences of any two documents', () => {
  it('points nowhere where they are equal, and somewhere where they are not', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, async ([first, second]) => {
        const [one, other] = [first, second].map((text) => toCanonicalText(text, undefined))
        expect((await pointersOf(first, second)).length === 0).toBe(one === other)
      }),
      { numRuns: 400 },
    )
  })

  it('points only at what differs, and leaves out nothing that does', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, async ([first, second]) => {
        const pointers = await pointersOf(first, second)
        expect(new Set(pointers).size).toBe(pointers.length)
        for (const pointer of pointers) {
          expect(canonicalAt(first, pointer)).not.toBe(canonicalAt(second, pointer))
        }
        // No more are told.
        fc.pre(pointers.length < 64)
        const [one, other] = [new Map(leavesOf(first)), new Map(leavesOf(second))]
        const leaves = new Set([...one.keys(), ...other.keys()])
        const changed = [...leaves].filter((leaf) => one.get(leaf) !== other.get(leaf))
        const untold = changed.filter(
          (leaf) => !pointers.some((told) => isWithin(leaf, told) || isWithin(told, leaf)),
        )
        expect(untold).toEqual([])
      }),
      { numRuns: 400 },
    )
  })

  it('never tells a value', async () => {
    const secret = fc.nat(9_999).map((number) => `s3cret${number}`)
    const toBodies: readonly ((one: string, other: string) => Sent)[] = [
      (one, other) => json(JSON.stringify({ a: one, b: [{ c: other }] })),
      (one) => json(JSON.stringify(one)),
      (one, other) => form(`a=${one}&b=${other}`),
      (one, other) => multipart(field('a', one), field('b', other, `; filename="${one}"`)),
      (one) => ({ body: one, type: 'text/plain' }),
    ]
    const sent = fc
      .tuple(fc.constantFrom(...toBodies), secret, secret, secret)
      .map(([toBody, one, other, third]) => {
        const head = { path: `/${one}`, search: `?q=${third}&q=${one}`, tag: other }
        return { ...toBody(one, other), ...head }
      })
    await fc.assert(
      fc.asyncProperty(sent, sent, async (first, second) => {
        const found = await differencesOf(first, second, { headers: ['X-Tag'] })
        expect(JSON.stringify(found)).not.toContain('s3cret')
      }),
    )
  })
})

// What is marked as failing is a known limit: the mismatch is told, but not all of its parts.
describe('findDifferences, at its limits', () => {
  const large = sized(KIB_64 + 1)
  const small = '{"a":1,"text":""}'

  it.each([
    { name: 'a large body after a small one', first: small, second: large },
    { name: 'a small body after a large one', first: large, second: small },
  ])('does not point at what is equal in $name', async ({ first, second }) => {
    expect(await pointersOf(first, second)).not.toContain('/a')
  })

  it.each([
    {
      name: 'is too large to look into',
      first: json(sized(KIB_64 + 1, 'a')),
      second: json(sized(KIB_64 + 1, 'b')),
    },
    {
      name: 'has its parts in another order',
      first: multipart(field('a', '1'), field('b', '2')),
      second: multipart(field('b', '2'), field('a', '1')),
    },
    { name: 'is another kind of nothing', first: json('{}'), second: json('[]') },
    {
      name: 'is a list for an object of its indexes',
      first: json('{"a":[1]}'),
      second: json('{"a":{"0":1}}'),
    },
    {
      name: 'has another element that does not count',
      first: json('{"a":[1]}'),
      second: json('{"a":[1,2]}'),
    },
  ])('names the body besides the query where it $name', async ({ first, second }) => {
    const found = await differencesOf(
      { ...first, search: '?q=1' },
      { ...second, search: '?q=2' },
      { ignore: ['/a/1'] },
    )
    expect(found.parts).toEqual(['query', 'body'])
  })

  const flat = (count: number, changed: number) =>
    Array.from({ length: count }, (_, index) => (index === 0 ? changed : index))

  it.each([
    { name: 'a list of 65 elements', first: flat(65, 0), second: flat(65, 9), at: [] },
    {
      name: 'an object of 65 members',
      first: Object.fromEntries(flat(65, 0).entries()),
      second: Object.fromEntries(flat(65, 9).entries()),
      at: [],
    },
    { name: 'a short list, after a long one', first: flat(65, 0), second: flat(2, 9), at: [] },
  ])('points at nothing equal in $name', async ({ first, second, at }) => {
    expect(await pointersOf(JSON.stringify(first), JSON.stringify(second))).toEqual(at)
  })

  it('keeps a list of 65 elements as one place', async () => {
    const request = await read(json(JSON.stringify(flat(65, 0))))
    expect([...markPlaces(request).keys()]).toContain('body')
  })

  it('points at the first 64 where few became more than it would keep', async () => {
    const at = await pointersOf(many(3), many(1_025))
    expect([at[0], at.at(-1), at.length]).toEqual(['/list/m3', '/list/m66', 64])
  })

  it('points at no equal field where few became more than it looks into', async () => {
    const found = await differencesOf(
      { ...form(pairs(3)), search: `?${pairs(3)}` },
      { ...form(pairs(1_025)), search: `?${pairs(1_025)}` },
    )
    expect([...found.pointers, ...found.queryPointers]).not.toContain('/p0')
  })

  it.each([
    {
      name: 'spaces that make it too large',
      body: '{"amount":1}',
      other: `{"amount":1}${' '.repeat(70_000)}`,
    },
    {
      name: 'no spaces that made it too large',
      body: `{"amount":1}${' '.repeat(70_000)}`,
      other: '{"amount":1}',
    },
  ])('does not name a body that is equal but for $name', async ({ body, other }) => {
    const found = await differencesOf({ body, search: '?a=1' }, { body: other, search: '?a=2' })
    expect(found).toEqual({ parts: ['query'], pointers: [], queryPointers: ['/a'] })
  })

  it.each([
    {
      name: 'JSON as text',
      body: '{ "b":1, "a":2 }',
      type: 'application/json',
      other: 'text/plain',
    },
    {
      name: 'text as JSON',
      body: '{ "b":1, "a":2 }',
      type: 'text/plain',
      other: 'application/json',
    },
    { name: 'a form as text', body: 'b=1&a=2', type: FORM, other: 'text/plain' },
    {
      name: 'JSON of another type',
      body: '{ "b":1 }',
      type: 'application/json',
      other: 'application/a+json',
    },
    {
      name: 'multipart as bytes',
      ...multipart(field('a', '1')),
      other: 'application/octet-stream',
    },
  ])(
    'names the media type alone where it is all that differs: $name',
    async ({ body, type = '', other }) => {
      const found = await differencesOf({ body, type }, { body, type: other })
      expect(found).toEqual({ parts: ['media-type'], pointers: [], queryPointers: [] })
    },
  )

  it('does not name a query whose fields are equal but kept as one', async () => {
    const found = await differencesOf(
      { body: '1', search: `?${pairs(65)}` },
      { body: '2', search: `?${pairs(65)}` },
    )
    expect(found.parts).toEqual(['body'])
  })

  /** Makes two bodies under a name, and returns what finds their differences. */
  async function finderOf(member: string) {
    const first = JSON.stringify({ [member]: { a: 1 } })
    const second = JSON.stringify({ [member]: [...Array(30_000).fill(0)] })
    // A name of control characters is escaped by six characters each.
    const sent =
      second.length > KIB_64 ? second.slice(0, 40_000).replace(/,0?$/, '') + ']}' : second
    const [known, request] = [markPlaces(await read(json(first))), await read(json(sent))]
    return () => findDifferences(known, request, DIGEST, 'key')
  }

  /** Microseconds of this process's own work, so that nothing beside it counts. */
  function workOf(act: () => unknown): number {
    const before = process.cpuUsage()
    act()
    const { user, system } = process.cpuUsage(before)
    return user + system
  }

  it.each([
    { name: 'a long name', long: 'x'.repeat(4_000) },
    { name: 'a long name of control characters', long: '\u0001'.repeat(4_000) },
    { name: 'a long name of quotes', long: '"'.repeat(4_000) },
  ])('tells little, and soon, of many under $name that both have', async ({ long }) => {
    const [find, findShort] = [await finderOf(long), await finderOf('x')]
    const found = find()
    // In turns, so that both are compiled and collected alike.
    const works = Array.from({ length: 15 }, () => [workOf(find), workOf(findShort)] as const)
    const [least, leastOfShort] = [0, 1].map((at) =>
      Math.min(...works.map((both) => both[at] ?? 0)),
    )
    // A pointer for each of them took more than ten times as long.
    expect(least).toBeLessThan(5 * (leastOfShort ?? 0))
    expect(found.parts).toEqual(['body'])
    expect(JSON.stringify(found).length).toBeLessThanOrEqual(2 * 8_192 + 200)
  })

  it('tells the longest name that is a place', async () => {
    const longest = 'n'.repeat(4_095)
    expect(await pointersOf(`{"${longest}":1}`, `{"${longest}":2}`)).toEqual([`/${longest}`])
  })

  it('tells a short one behind those that are too long', async () => {
    const long = 'n'.repeat(4_000)
    const first = JSON.stringify({ [long]: { a: 1 }, z: 1 })
    const second = JSON.stringify({ [long]: { a: 2, b: 2, c: 2 }, z: 2 })
    const at = await pointersOf(first, second)
    expect(at).toContain('/z')
    expect(at).toContain(`/${long}/a`)
    expect(at.join('').length).toBeLessThanOrEqual(8_192)
  })

  it('tells little of a form or query with long names', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `${index}${'n'.repeat(1_000)}=1`).join(
      '&',
    )
    const found = await differencesOf(
      { ...form('a=1'), search: '?a=1' },
      { ...form(names), search: `?${names}` },
    )
    expect(found.parts).toEqual(['query', 'body'])
    for (const at of [found.pointers, found.queryPointers]) {
      expect(at.length).toBeGreaterThan(1)
      expect(JSON.stringify(at).length).toBeLessThanOrEqual(8_192 + 2 * 64)
    }
  })

  it('never tells more than a body of 64 KiB could hold', async () => {
    // With a name of 30,000 letters and 4,500 members: 136 MB of pointers, within a minute.
    const members = Array.from({ length: 400 }, (_, index) => `"${index}":1`)
    const at = await pointersOf('{"z":1}', `{"${'n'.repeat(3_000)}":{${members.join()}}}`)
    expect(at.join('').length).toBeLessThanOrEqual(KIB_64)
  })
})

describe('differences, attacked', () => {
  const list = (count: number, of: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => of(index))
  const named = (count: number) => `{${list(count, (index) => `"${index}":1`).join()}}`
  const LONG = 'n'.repeat(3_900)
  const FIELDS = list(20_000, (index) => `${index}=1`).join('&')

  // Some milliseconds each; bench/linear-time.ts measures how that grows.
  it.each<{ name: string; first: Sent; second: Sent }>([
    { name: 'many members', first: json(named(6_000)), second: json(named(6_001)) },
    { name: 'few members, then many', first: json('{"0":0}'), second: json(named(6_000)) },
    {
      name: 'many elements under a long name that both have',
      first: json(`{"${LONG}":[0]}`),
      second: json(`{"${LONG}":[${list(30_000, () => '1').join()}]}`),
    },
    {
      name: 'many elements under a long name that is new',
      first: json('{}'),
      second: json(`{"${LONG}":[${list(30_000, () => '1').join()}]}`),
    },
    {
      name: 'branches upon branches',
      first: json(`[${list(60, () => `[${list(60, () => '[1,1,1]').join()}]`).join()}]`),
      second: json(`[${list(60, () => `[${list(60, () => '[1,2,1]').join()}]`).join()}]`),
    },
    {
      name: 'nesting to the limit',
      first: json(`[${list(30, () => deep(300, 1)).join()}]`),
      second: json(`[${list(30, () => deep(300, 2)).join()}]`),
    },
    {
      name: 'escapes in names',
      first: json(`{"${String.raw`\u0001`.repeat(5_000)}":[1]}`),
      second: json(`{"${String.raw`\u0001`.repeat(5_000)}":[2]}`),
    },
    { name: 'many fields', first: form(pairs(6_000)), second: form(pairs(6_001)) },
    { name: 'fields of one name', first: form('a=1&'.repeat(10_000)), second: form('a=1') },
    {
      name: 'a long query',
      first: { body: '1', search: `?${FIELDS}` },
      second: { body: '1', search: `?${FIELDS}&a=1` },
    },
    {
      name: 'few fields of a query, then many',
      first: { body: '1', search: '?a=1' },
      second: { body: '1', search: `?${FIELDS}` },
    },
  ])('take linear time for $name', async ({ first, second }) => {
    const [one, other] = [await read(first), await read(second)]
    const startedAt = performance.now()
    const found = findDifferences(markPlaces(one), other, DIGEST, 'key')
    expect(performance.now() - startedAt).toBeLessThan(3_000)
    expect(found.parts.length).toBeGreaterThan(0)
  })
})
