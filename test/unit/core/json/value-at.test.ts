import { describe, expect, it } from 'vitest'

import { readValueAt } from '../../../../src/core/json/value-at.ts'

describe('readValueAt', () => {
  const json = String.raw`{"s":"\u0061","n":1.50e1,"b":true,"z":null,"o":{"k":[1]},"n2":9007199254740993}`

  it.each([
    { name: 's', expected: { kind: 'string', written: String.raw`"\u0061"`, text: 'a' } },
    { name: 'n', expected: { kind: 'literal', written: '1.50e1', text: '15' } },
    {
      name: 'n2',
      expected: { kind: 'literal', written: '9007199254740993', text: '9007199254740993' },
    },
    { name: 'b', expected: { kind: 'literal', written: 'true', text: 'true' } },
    { name: 'o', expected: { kind: 'nested', written: '{"k":[1]}', text: '' } },
    { name: 'z', expected: null },
    { name: 'none', expected: null },
  ])('reads the member $name', ({ name, expected }) => {
    expect(readValueAt(json, [name])).toEqual(expected)
  })

  it('reads the document itself, and nothing of what is not JSON', () => {
    expect(readValueAt(' "a" ', [])).toEqual({ kind: 'string', written: '"a"', text: 'a' })
    expect(readValueAt('{"a":1', ['a'])).toBeNull()
  })
})
