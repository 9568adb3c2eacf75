import { describe, expect, it } from 'vitest'

import { createPointerTree, parsePointer } from '../../../../src/core/fingerprint/pointers.ts'

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
    const child = createPointerTree(['/a/b', '/a'], ['/a/b'])?.children.get('a')
    expect(child).toMatchObject({ isIgnored: true, isDate: false })
    expect(child?.children.get('b')).toMatchObject({ isIgnored: true, isDate: true })
  })
})
