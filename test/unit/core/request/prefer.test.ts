import { describe, expect, it } from 'vitest'

import type { HeaderField } from '../../../../src/core/operation/snapshot.ts'
import { readPreference, withoutObeyed } from '../../../../src/core/request/prefer.ts'

describe('readPreference', () => {
  it.each([
    { prefer: 'wait=0', expected: 0 },
    { prefer: 'wait=5', expected: 5_000 },
    { prefer: 'wait=60', expected: 60_000 },
    { prefer: 'wait=61', expected: 60_000 },
    { prefer: 'wait=999999999', expected: 60_000 },
    { prefer: 'Wait="5"', expected: 5_000 },
    { prefer: 'wait = 5', expected: 5_000 },
    { prefer: 'respond-async, wait=5', expected: 5_000 },
    { prefer: 'wait=5, respond-async', expected: 5_000 },
    { prefer: 'wait=5; strict', expected: 5_000 },
    { prefer: 'wait=5, wait=7', expected: 5_000 },
    { prefer: 'wait=x, wait=7', expected: 7_000 },
    { prefer: 'respond-async; wait=5', expected: 5_000 },
    { prefer: 'foo="a, b", wait=5', expected: 5_000 },
  ])('reads $prefer as $expected ms', ({ prefer, expected }) => {
    expect(readPreference(new Headers({ prefer })).waitMs).toBe(expected)
  })

  it.each([
    { prefer: '' },
    { prefer: 'respond-async' },
    { prefer: 'wait' },
    { prefer: 'wait=' },
    { prefer: 'wait=-1' },
    { prefer: 'wait=1.5' },
    { prefer: 'wait=5s' },
    { prefer: 'await=5' },
    { prefer: 'waiting=5' },
    { prefer: 'return=minimal; wait=5' },
    { prefer: 'foo="a, wait=5"' },
  ])('hears no time to wait in $prefer', ({ prefer }) => {
    expect(readPreference(new Headers({ prefer })).waitMs).toBeNull()
  })

  it.each([
    { prefer: 'respond-async', expected: true },
    { prefer: 'Respond-Async', expected: true },
    { prefer: ' respond-async ', expected: true },
    { prefer: 'wait=5, respond-async', expected: true },
    { prefer: 'respond-async,wait=5', expected: true },
    { prefer: 'respond-async; foo=bar, wait=5', expected: true },
    { prefer: '', expected: false },
    { prefer: 'wait=5', expected: false },
    { prefer: 'return=minimal', expected: false },
    { prefer: 'respond-asynchronously', expected: false },
    { prefer: 'do-not-respond-async', expected: false },
    { prefer: 'respond-async=no', expected: false },
    { prefer: 'respond async', expected: false },
  ])('says of "$prefer" that the client comes back: $expected', ({ prefer, expected }) => {
    expect(readPreference(new Headers({ prefer })).isAsync).toBe(expected)
  })

  it('hears no wish where there is no such field', () => {
    expect(readPreference(new Headers())).toEqual({ waitMs: null, isAsync: false })
  })

  it('reads fields that were sent twice', () => {
    const headers = new Headers([
      ['Prefer', 'respond-async'],
      ['Prefer', 'wait=2'],
    ])
    expect(readPreference(headers)).toEqual({ waitMs: 2_000, isAsync: true })
  })
})

describe('withoutObeyed', () => {
  it.each([
    { prefer: 'wait=5', left: null },
    { prefer: 'respond-async', left: null },
    { prefer: 'Respond-Async; wait=5, WAIT="5"', left: null },
    { prefer: 'wait=5, wait=7', left: null },
    { prefer: 'return=minimal, wait=5', left: 'return=minimal' },
    { prefer: 'wait=5,  return=minimal,handling=lenient', left: 'return=minimal,handling=lenient' },
    { prefer: 'a; x="1, 2" , respond-async, b', left: 'a; x="1, 2" , b' },
    { prefer: 'return=minimal', left: 'return=minimal' },
    { prefer: 'return=minimal; wait=5', left: 'return=minimal; wait=5' },
    { prefer: 'foo="wait=5, respond-async"', left: 'foo="wait=5, respond-async"' },
    { prefer: 'wait=soon, respond-async=no', left: 'wait=soon, respond-async=no' },
    { prefer: ' ,, ', left: ' ,, ' },
    { prefer: '', left: '' },
  ])('leaves $left of $prefer', ({ prefer, left }) => {
    const other: HeaderField = ['x-prefer', 'wait=5']
    const expected: HeaderField[] = left === null ? [] : [['prefer', left]]
    expect(withoutObeyed([other, ['prefer', prefer]])).toEqual([other, ...expected])
  })

  it('is done in linear time', () => {
    const value = `${'"\\'.repeat(100_000)},${' wait'.repeat(100_000)}`
    expect(withoutObeyed([['prefer', value]])).toHaveLength(1)
  })
})
