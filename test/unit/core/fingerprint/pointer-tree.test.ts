import { describe, expect, it } from 'vitest'

import { branchAt, createPointerTree } from '../../../../src/core/fingerprint/pointer-tree.ts'
import { parsePointer } from '../../../../src/core/json/pointer.ts'

describe('parsePointer', () => {
  // RFC 6901 §5.
  it.each([
    { pointer: '/foo', expected: ['foo'] },
    { pointer: '/foo/0', expected: ['foo', '0'] },
    { pointer: '/', expected: [''] },
    { pointer: '/a~1b', expected: ['a/b'] },
    { pointer: '/m~0n', expected: ['m~n'] },
    { pointer: '/~01', expected: ['~1'] },
    { pointer: '//', expected: ['', ''] },
  ])('splits $pointer', ({ pointer, expected }) => {
    expect(parsePointer(pointer)).toEqual({ ok: true, value: expected })
  })

  it.each(['', 'foo', '#/foo', '/~', '/~2', '/a~b'])('refuses "%s"', (pointer) => {
    expect(parsePointer(pointer)).toMatchObject({ ok: false })
  })
})

describe('createPointerTree', () => {
  it('is undefined without pointers', () => {
    expect(createPointerTree([], [])).toBeUndefined()
  })

  it('throws for a malformed pointer, and names it', () => {
    expect(() => createPointerTree(['trace_id'], [])).toThrow('"trace_id" must begin with "/"')
    expect(() => createPointerTree([], ['/~2'])).toThrow('"/~2" must write "~" as "~0"')
  })

  it('keeps what two pointers say of one value', () => {
    const child = branchAt(createPointerTree(['/a/b', '/a'], ['/a/b']), 'a')
    expect(child).toMatchObject({ isIgnored: true, isDate: false })
    expect(branchAt(child, 'b')).toMatchObject({ isIgnored: true, isDate: true })
  })
})

describe('branchAt', () => {
  /** What is said of the value that a path leads to. */
  const saidOf = (path: string, ignore: readonly string[], dates: readonly string[] = []) => {
    const tree = createPointerTree(ignore, dates)
    const end = path.split('/').slice(1).reduce(branchAt, tree)
    return end && [end.isIgnored && 'ignored', end.isDate && 'date'].filter((word) => word)
  }

  it.each([
    { path: '/items/0/at', ignore: ['/items/*/at'], expected: ['ignored'] },
    { path: '/items/name/at', ignore: ['/items/*/at'], expected: ['ignored'] },
    { path: '/items/*/at', ignore: ['/items/*/at'], expected: ['ignored'] },
    { path: '/items/0', ignore: ['/items/*/at'], expected: [] },
    { path: '/items/0/other', ignore: ['/items/*/at'], expected: undefined },
    { path: '/items/0/x/at', ignore: ['/items/*/at'], expected: undefined },
    { path: '/items/0/at', ignore: ['/items/*/at', '/items/0/by'], expected: ['ignored'] },
    { path: '/items/0/by', ignore: ['/items/*/at', '/items/0/by'], expected: ['ignored'] },
    { path: '/items/1/by', ignore: ['/items/*/at', '/items/0/by'], expected: undefined },
    { path: '/a/b', ignore: ['/*/b'], dates: ['/a/*'], expected: ['ignored', 'date'] },
    { path: '/a/c', ignore: ['/*/b'], dates: ['/a/*'], expected: ['date'] },
    { path: '/b/b', ignore: ['/*/b'], dates: ['/a/*'], expected: ['ignored'] },
  ])('says $expected of $path with $ignore', ({ path, ignore, dates, expected }) => {
    expect(saidOf(path, ignore, dates)).toEqual(expected)
  })

  it('costs no more with many pointers that could all meet', () => {
    const size = 40
    const ignore = Array.from({ length: size }, (_, at) =>
      Array.from({ length: size }, (__, index) => (index === at ? '/a' : '/*')).join(''),
    )
    expect(saidOf('/a/b'.repeat(size / 2), ignore)).toEqual(['ignored'])
    expect(saidOf('/b'.repeat(size), ignore)).toBeUndefined()
  })
})
