import { stringify } from 'devalue'
import { describe, expect, it } from 'vitest'

import { readClone, writeClone } from '../../src/queue/structured-clone.ts'

const again = async (value: unknown) => readClone(await writeClone(value))

const sparse: unknown[] = [1, 2]
sparse[5] = undefined
sparse.length = 1_000_000

function holed(): unknown[] {
  const list: unknown[] = [1]
  list[2] = 3
  return list
}

/** Nested so deep that whatever calls itself for each level fails. */
function nested(depth: number): unknown {
  return JSON.parse('['.repeat(depth) + ']'.repeat(depth))
}

function depthOf(value: unknown): number {
  let depth = 0
  for (let level = value; Array.isArray(level); level = level[0] as unknown) depth += 1
  return depth
}

describe('writeClone', () => {
  it.each([
    { what: 'JSON', value: { a: [1, -2.5, 'x', true, null, {}, []], b: { c: '' } } },
    { what: 'numbers', value: [NaN, Infinity, -Infinity, -0, 0, 1e300] },
    { what: 'nothing', value: [undefined, null, { a: undefined }] },
    { what: 'text', value: ['\uD800', '\u0000', '\u2028', '🦊', '"\\'] },
    { what: 'a list with holes and a name', value: Object.assign(holed(), { extra: 1 }) },
    { what: 'a list with many holes', value: sparse },
    { what: 'large numbers', value: [10n ** 40n, -1n] },
    { what: 'dates', value: [new Date(5), new Date(NaN)] },
    { what: 'a pattern', value: /a"\/b/giu },
    { what: 'maps and sets', value: [new Map([[{ k: 1 }, [2]]]), new Set([[1], 'x'])] },
    { what: 'values in boxes', value: [Object(1), Object('s'), Object(false), Object(2n)] },
    { what: 'bytes', value: new Uint8Array([0, 255, 7]).buffer },
    { what: 'views', value: [new Uint16Array([1, 2]), new DataView(new ArrayBuffer(4), 1, 2)] },
    { what: 'large integers in a row', value: new BigUint64Array([1n, 2n]) },
    { what: 'headers', value: new Headers({ a: 'b' }) },
    { what: 'a name that is none', value: JSON.parse('{"__proto__":{"a":1},"toString":2}') },
  ])('keeps $what', async ({ value }) => {
    const sent: unknown = structuredClone(value)
    expect(await again({ sent })).toEqual({ sent })
    expect(await writeClone(await again(sent))).toBe(await writeClone(sent))
  })

  it('keeps errors with all that a clone of them holds', async () => {
    const cause = new AggregateError([new RangeError('one')], 'several')
    const error = Object.assign(new TypeError('wrong', { cause }), { code: 'E1' })
    const sent = structuredClone({ error, dom: new DOMException('late', 'TimeoutError') })
    const read = (await again(sent)) as typeof sent
    expect(read.error).toBeInstanceOf(TypeError)
    expect(read.error).toMatchObject({ message: 'wrong', stack: sent.error.stack, code: 'E1' })
    const inner = read.error.cause as AggregateError
    expect([inner.name, inner.message, inner.errors]).toEqual([
      'AggregateError',
      'several',
      [new RangeError('one')],
    ])
    expect(read.dom).toMatchObject({ name: 'TimeoutError', message: 'late' })
  })

  it('keeps what is of the platform', async () => {
    const request = new Request('https://shop.test/a', { method: 'POST', headers: { a: 'b' } })
    const response = new Response(null, { status: 204, headers: { c: 'd' } })
    const sent = structuredClone([request, response, new Blob(['bytes'], { type: 'text/x' })])
    const [one, two, three] = (await again(sent)) as [Request, Response, Blob]
    expect([one.url, one.method, one.headers.get('a')]).toEqual([request.url, 'POST', 'b'])
    expect([two.status, two.headers.get('c')]).toEqual([204, 'd'])
    expect([three.type, await three.text()]).toEqual(['text/x', 'bytes'])
  })

  it('keeps what contains itself, and what is there twice once', async () => {
    const shared = { n: 1 }
    const sent: Record<string, unknown> = { one: shared, two: shared, map: new Map() }
    sent['self'] = sent
    ;(sent['map'] as Map<unknown, unknown>).set(sent, [sent])
    const read = (await again(sent)) as typeof sent
    expect(read['self']).toBe(read)
    expect(read['one']).toBe(read['two'])
    expect((read['map'] as Map<unknown, unknown>).get(read)).toEqual([read])
  })

  it('keeps what is nested deeper than any stack', async () => {
    expect(depthOf(await again(nested(64_000)))).toBe(64_000)
  })

  it('says of what nobody knows what it was', async () => {
    expect(await again({ a: new WeakMap(), b: 1 })).toEqual({ a: '[object WeakMap]', b: 1 })
  })

  it.each([
    { what: 'control characters', value: '\u0000'.repeat(128_000) },
    { what: 'halves of letters', value: '\uD800'.repeat(64_000) },
    { what: 'bytes', value: new Uint8Array(128_000) },
    { what: 'numbers', value: Array.from({ length: 64_000 }, (_, n) => n % 7) },
    { what: 'lists', value: Array.from({ length: 43_000 }, () => []) },
    { what: 'nothings', value: Array.from({ length: 128_000 }, () => undefined) },
    { what: 'names', value: Object.fromEntries(Array.from({ length: 18_000 }, (_, n) => [n, n])) },
    { what: 'a large number', value: BigInt(`0x${'f'.repeat(256_000)}`) },
  ])('makes of a full message of $what no more than a row can hold', async ({ value }) => {
    expect((await writeClone(value)).length).toBeLessThan(1_500_000)
  })
})

describe('readClone', () => {
  it.each([
    { what: 'JSON', value: { a: [1, 'x', null], b: { c: -0 } } },
    { what: 'holes', value: holed() },
    { what: 'many holes', value: sparse },
    { what: 'views', value: [new Uint8Array([1, 2, 3]).subarray(1, 2), new Int16Array([5])] },
    { what: 'the rest', value: [new Date(5), /x/g, 5n, new Map([[1, { a: 2 }]]), Object('s')] },
    { what: 'an object without prototype', value: Object.assign(Object.create(null), { a: 1 }) },
    { what: 'nothing', value: undefined },
  ])('reads what devalue has written: $what', ({ value }) => {
    expect(readClone(stringify(value))).toEqual(value)
  })

  it.each(['{}', '[["Url",1]]', 'x'])('does not read %s', (text) => {
    expect(() => readClone(text)).toThrow(Error)
  })
})
