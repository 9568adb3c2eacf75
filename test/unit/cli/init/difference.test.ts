import { describe, expect, it } from 'vitest'

import { toDifference } from '../../../../cli/init/difference.ts'

describe('toDifference', () => {
  it.each([
    { name: 'a new text', before: '', after: 'a\nb\n', expected: '+ a\n+ b' },
    { name: 'the same text', before: 'a\n', after: 'a\n', expected: '' },
    {
      name: 'changed and added lines with their context',
      before: '1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n',
      after: '1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n\n13\nnew\n',
      expected: '  2\n  3\n  4\n- 5\n+ five\n  6\n  7\n  8\n  …\n  10\n  11\n  12\n+\n  13\n+ new',
    },
    {
      name: 'lines between equal ones',
      before: 'a\nb\nc\n',
      after: 'a\nx\nb\ny\nc\n',
      expected: '  a\n+ x\n  b\n+ y\n  c',
    },
    { name: 'removed lines', before: 'a\r\nb\r\nc', after: 'a\r\nc', expected: '  a\n- b\n  c' },
  ])('shows $name', ({ before, after, expected }) => {
    expect(toDifference(before, after)).toBe(expected)
  })
})
