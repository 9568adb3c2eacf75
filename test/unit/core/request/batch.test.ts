import { describe, expect, it } from 'vitest'

import {
  type BatchShape,
  cutItem,
  keyOfOnlyItem,
  readBatch,
} from '../../../../src/core/request/batch.ts'

const SHAPE: BatchShape = { items: '/items', pointer: '/id', size: 3 }
const ANY = { name: 'any', pattern: /^/, minLength: 1 }
const RULES = { keyFormat: ANY, required: true, limits: { request: 1_000 } }

const read = (text: string, shape: Partial<BatchShape> = {}, rules: Partial<typeof RULES> = {}) =>
  readBatch(text, { ...SHAPE, ...shape }, { ...RULES, ...rules })

/** What is sent for each item, or the problem and its sentence. */
function cut(text: string, shape: Partial<BatchShape> = {}, rules: Partial<typeof RULES> = {}) {
  const batch = read(text, shape, rules)
  if (!batch.ok) return [batch.error.slug, batch.error.detail]
  return batch.value.items.map((item) => cutItem(batch.value, item))
}

describe('cutItem', () => {
  it.each([
    {
      name: 'keeps what stands around the items, byte by byte',
      text: '{ "currency" : "EUR", "items": [ {"id":"a"} , {"id":"b"} ],"n":1.50 }',
      expected: [
        '{ "currency" : "EUR", "items": [{"id":"a"}],"n":1.50 }',
        '{ "currency" : "EUR", "items": [{"id":"b"}],"n":1.50 }',
      ],
    },
    {
      name: 'keeps every digit and every escape of an item',
      text: String.raw`{"items":[{"id":"a","amount":9007199254740993.10,"to":"\u00e9\/"}]}`,
      expected: [String.raw`{"items":[{"id":"a","amount":9007199254740993.10,"to":"\u00e9\/"}]}`],
    },
    {
      name: 'keeps arrays in an item, and brackets in strings',
      text: '{"items":[{"id":"a","x":[1,[2,"]"]]},{"id":"b","x":"},["}]}',
      expected: ['{"items":[{"id":"a","x":[1,[2,"]"]]}]}', '{"items":[{"id":"b","x":"},["}]}'],
    },
    {
      name: 'takes __proto__ for a member like any other',
      text: '{"__proto__":{"items":[{"id":"x"}]},"items":[{"__proto__":{"id":"y"},"id":"a"}]}',
      expected: [
        '{"__proto__":{"items":[{"id":"x"}]},"items":[{"__proto__":{"id":"y"},"id":"a"}]}',
      ],
    },
    {
      name: 'finds the array by a name that is escaped',
      text: String.raw`{"\u0069tems":[{"\u0069d":"a"}]}`,
      expected: [String.raw`{"\u0069tems":[{"\u0069d":"a"}]}`],
    },
  ])('$name', ({ text, expected }) => {
    expect(cut(text)).toEqual(expected)
  })

  it.each([
    {
      name: 'a body that is the array',
      shape: { items: '' },
      text: ' [{"id":1},{"id":2}] ',
      expected: [' [{"id":1}] ', ' [{"id":2}] '],
    },
    {
      name: 'items that are their own keys',
      shape: { pointer: '' },
      text: '{"items":["a", "b"]}',
      expected: ['{"items":["a"]}', '{"items":["b"]}'],
    },
    {
      name: 'an array and keys that stand deeper',
      shape: { items: '/a~1b/0', pointer: '/ref/id' },
      text: '{"a/b":[[{"ref":{"id":"a"}}]]}',
      expected: ['{"a/b":[[{"ref":{"id":"a"}}]]}'],
    },
  ])('cuts $name', ({ shape, text, expected }) => {
    expect(cut(text, shape)).toEqual(expected)
  })
})

describe('readBatch', () => {
  it.each([
    { name: 'no array there', text: '{"item":[]}', slug: 'payload-invalid', says: '/items' },
    {
      name: 'an object there',
      text: '{"items":{"0":{"id":"a"}}}',
      slug: 'payload-invalid',
      says: '/items',
    },
    { name: 'no item', text: '{"items":[ ]}', slug: 'payload-invalid', says: 'no items' },
    {
      name: 'more items than the route takes',
      text: '{"items":[{"id":1},{"id":2},{"id":3},{"id":4}]}',
      slug: 'payload-too-large',
      says: '3 items',
    },
    {
      name: 'an item without a key',
      text: '{"items":[{"id":"a"},{}]}',
      slug: 'key-missing',
      says: '/items/1/id',
    },
    {
      name: 'an item whose key is null',
      text: '{"items":[{"id":null}]}',
      slug: 'key-missing',
      says: '/items/0/id',
    },
    {
      name: 'an item that is no object',
      text: '{"items":[{"id":"a"},7]}',
      slug: 'key-missing',
      says: '/items/1/id',
    },
    {
      name: 'a key that is a list',
      text: '{"items":[{"id":["a"]}]}',
      slug: 'key-invalid',
      says: '/items/0/id',
    },
    {
      name: 'a key that is no ASCII',
      text: '{"items":[{"id":"é"}]}',
      slug: 'key-invalid',
      says: '/items/0/id',
    },
    {
      name: 'one key twice',
      text: String.raw`{"items":[{"id":"a"},{"id":"b"},{"id":"\u0061"}]}`,
      slug: 'payload-invalid',
      says: '0 and 2',
    },
    {
      name: 'one key as a number and as a string',
      text: '{"items":[{"id":1.0},{"id":"1"}]}',
      slug: 'payload-invalid',
      says: '0 and 1',
    },
  ])('refuses $name, and says where', ({ text, slug, says }) => {
    expect(cut(text)).toEqual([slug, expect.stringContaining(says)])
  })

  it('takes as many items as the route allows', () => {
    expect(cut('{"items":[{"id":1},{"id":2},{"id":3}]}')).toHaveLength(3)
  })

  it.each([
    { name: 'as much as', extra: 0, expected: 2 },
    { name: 'more than', extra: 1, expected: 'payload-too-large' },
  ])('counts what stands around the items with each of them: $name allowed', (given) => {
    const envelope = '{"note":"","items":[]}'.length - '[]'.length
    const note = 'x'.repeat(2_000 - envelope + given.extra)
    const batch = read(`{"note":"${note}","items":[{"id":1},{"id":2}]}`)
    expect(batch.ok ? batch.value.items.length : batch.error.slug).toBe(given.expected)
  })

  it('holds every key against the format of the route', () => {
    const keyFormat = { name: '/^x/', pattern: /^x/, minLength: 1 }
    const text = '{"items":[{"id":"x1"},{"id":"y1"}]}'
    expect(cut(text, {}, { keyFormat })).toEqual([
      'key-invalid',
      expect.stringContaining('/items/1/id'),
    ])
  })

  it('takes items without a key where the route requires none', () => {
    expect(cut('{"items":[{},{}]}', {}, { required: false })).toHaveLength(2)
  })

  it('never quotes a key', () => {
    const [, detail] = cut('{"items":[{"id":"sécret"}]}')
    expect(detail).not.toContain('cret')
  })
})

describe('keyOfOnlyItem', () => {
  it.each([
    { name: 'a string', id: String.raw`"\u0061 b"`, key: 'a b' },
    { name: 'a number by its value', id: '10e-1', key: '1' },
    { name: 'a number of many digits', id: '9007199254740993', key: '9007199254740993' },
    { name: 'a boolean', id: 'true', key: 'true' },
  ])('reads $name', ({ id, key }) => {
    expect(keyOfOnlyItem(`{"items":[{"id":${id}}]}`, SHAPE)).toEqual({ ok: true, value: key })
  })

  it('finds none where there is none', () => {
    expect(keyOfOnlyItem('{"items":[{"id":null}]}', SHAPE)).toBeNull()
    expect(keyOfOnlyItem('{"items":[{}]}', SHAPE)).toBeNull()
  })
})
