import { describe, expect, it } from 'vitest'

import { findPointerFaults } from '../../../../src/core/fingerprint/pointer-faults.ts'

const faultsOf = (ignore: readonly string[], dates: readonly string[] = []) =>
  findPointerFaults(ignore, dates).map(({ list, index, fault }) => `${list}.${index} ${fault}`)

describe('findPointerFaults', () => {
  it.each([
    { pointer: '/$.items', says: 'RFC 6901' },
    { pointer: '/$/items', says: 'RFC 6901' },
    { pointer: '/items[*]', says: '/items/*/sent_at' },
    { pointer: '/items/[*]', says: '/items/*/sent_at' },
    { pointer: '/items/[0]/x', says: '/items/0/sent_at' },
    { pointer: '/[0]', says: '/items/0/sent_at' },
    { pointer: '/items[0]/x', says: '/items/0/sent_at' },
    { pointer: '/items[-1]', says: '/items/0/sent_at' },
    { pointer: '/items[]/x', says: '/items/0/sent_at' },
    { pointer: '/**/sent_at', says: 'each depth' },
    { pointer: '/items/**', says: 'each depth' },
  ])('refuses $pointer, which can never match, and says what to write', ({ pointer, says }) => {
    expect(faultsOf([pointer])).toEqual([expect.stringContaining(says)])
    expect(faultsOf([], [pointer])).toEqual([expect.stringContaining(says)])
  })

  it.each([
    { name: 'two of one place', ignore: ['/a', '/b', '/a'], at: 'ignore.2' },
    { name: 'one beneath another', ignore: ['/a', '/a/b'], at: 'ignore.1' },
    { name: 'one above another', ignore: ['/a/b/c', '/a'], at: 'ignore.0' },
    { name: 'one of those that a star names', ignore: ['/a/*', '/a/0/b'], at: 'ignore.1' },
    { name: 'one that a star names', ignore: ['/a/0', '/a/*'], at: 'ignore.0' },
    { name: 'two spellings of one place', ignore: ['/*', '/*'], at: 'ignore.1' },
    { name: 'a date that is left out', ignore: ['/a'], dates: ['/a'], at: 'dates.0' },
    { name: 'a date beneath what is left out', ignore: ['/*'], dates: ['/a/b'], at: 'dates.0' },
    { name: 'two dates of one place', ignore: [], dates: ['/a', '/a'], at: 'dates.1' },
    { name: 'a date of a star’s', ignore: [], dates: ['/a', '/*'], at: 'dates.0' },
  ])('refuses $name, which changes nothing', ({ ignore, dates = [], at }) => {
    expect(faultsOf(ignore, dates)).toEqual([expect.stringContaining(at)])
  })

  it.each([
    { name: 'neighbours', ignore: ['/a', '/b', '/a~1b', '/ab'] },
    { name: 'what meets in some places only', ignore: ['/a/*/x', '/a/0/y', '/*/b'] },
    { name: 'a date above what is left out', ignore: ['/a/b'], dates: ['/a'] },
    { name: 'a date and dates beneath it', ignore: [], dates: ['/a', '/a/b'] },
    { name: 'a field of a form with brackets', ignore: ['/items[0]', '/a[b]', '/a[]'] },
    { name: 'names that only look like it', ignore: ['/$ref', '/$schema', '/a*', '/*b'] },
    { name: 'everything', ignore: ['/*'] },
  ])('takes $name', ({ ignore, dates }) => {
    expect(faultsOf(ignore, dates)).toEqual([])
  })
})
