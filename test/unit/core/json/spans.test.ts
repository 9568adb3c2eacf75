import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { childrenOf, findValue, rootOf } from '../../../../src/core/json/spans.ts'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** Writes a value with the given spaces, one after the other, wherever JSON allows some. */
function spell(value: Json, nextSpace: () => string): string {
  const write = (inner: Json): string => {
    const parts: string[] = []
    if (Array.isArray(inner)) {
      for (const element of inner) parts.push(around(element))
      return `[${parts.length > 0 ? parts.join(',') : nextSpace()}]`
    }
    if (typeof inner !== 'object' || inner === null) return JSON.stringify(inner)
    for (const [name, member] of Object.entries(inner)) {
      parts.push(`${nextSpace()}${JSON.stringify(name)}${nextSpace()}:${around(member)}`)
    }
    return `{${parts.length > 0 ? parts.join(',') : nextSpace()}}`
  }
  const around = (inner: Json) => nextSpace() + write(inner) + nextSpace()
  return around(value)
}

const jsonValue = fc.jsonValue({ maxDepth: 4, stringUnit: 'grapheme' }) as fc.Arbitrary<Json>

const spelling = fc
  .tuple(
    jsonValue,
    fc.array(fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 2 }), {
      minLength: 1,
    }),
  )
  .map(([value, spaces]) => {
    let count = 0
    return { value, text: spell(value, () => spaces[count++ % spaces.length] ?? '') }
  })

/** All paths in a value, with what they lead to. */
function pathsOf(value: Json, path: readonly string[] = []): [readonly string[], Json][] {
  const inner = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return [[path, value], ...inner.flatMap(([token, child]) => pathsOf(child, [...path, token]))]
}

function textAt(text: string, tokens: readonly string[]): string | null {
  const span = findValue(text, tokens)
  return span === null ? null : text.slice(span.start, span.end)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

describe('rootOf', () => {
  it.each([
    { name: 'a value alone', text: '12', expected: { start: 0, end: 2 } },
    { name: 'white space around', text: ' \t\r\n{ } \n', expected: { start: 4, end: 7 } },
    { name: 'no text', text: '', expected: { start: 0, end: 0 } },
    { name: 'nothing but white space', text: ' \n ', expected: { start: 3, end: 3 } },
    {
      name: 'space that is none in JSON',
      text: '\u00A01\uFEFF',
      expected: { start: 0, end: 3 },
    },
  ])('leaves out the white space around: $name', ({ text, expected }) => {
    expect(rootOf(text)).toEqual(expected)
  })
})

describe('childrenOf', () => {
  it('lists the members of an object and the elements of an array, as they are written', () => {
    fc.assert(
      fc.property(spelling, ({ value, text }) => {
        const children = childrenOf(text, rootOf(text)).map(({ token, span }) => [
          token,
          JSON.parse(text.slice(span.start, span.end)) as Json,
        ])
        const expected = typeof value === 'object' && value !== null ? Object.entries(value) : []
        expect(children).toEqual(JSON.parse(JSON.stringify(expected)))
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    { name: 'a name that stands twice', text: '{"a":1,"a":2}', expected: ['a', 'a'] },
    { name: 'an escaped name', text: String.raw`{"\u0061\/\"":1}`, expected: ['a/"'] },
    {
      name: 'names that Object.prototype has',
      text: '{"__proto__":1,"toString":2}',
      expected: ['__proto__', 'toString'],
    },
    {
      name: 'eleven elements',
      text: '[0,1,2,3,4,5,6,7,8,9,10]',
      expected: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10'],
    },
    { name: 'an empty object', text: '{ }', expected: [] },
    { name: 'an empty array', text: '[\n]', expected: [] },
    { name: 'a string that looks like an array', text: '"[1]"', expected: [] },
    { name: 'a comma behind the last element', text: '[1,]', expected: [] },
    { name: 'a comma behind the last member', text: '{"a":1,}', expected: [] },
    { name: 'the wrong bracket at the end', text: '[1}', expected: [] },
    { name: 'no bracket at the end', text: '[1,2', expected: [] },
    { name: 'a second value', text: '[1][2]', expected: [] },
    { name: 'a fault in an element', text: '[1,[tru],2]', expected: [] },
    { name: 'no text', text: '', expected: [] },
  ])('names the children of $name', ({ text, expected }) => {
    expect(childrenOf(text, rootOf(text)).map(({ token }) => token)).toEqual(expected)
  })

  it('lists what a value inside the text holds', () => {
    const text = '{"a":[1,{"b":2.50}],"c":3}'
    const inner = findValue(text, ['a', '1'])
    expect(inner).toEqual({ start: 8, end: 18 })
    expect(childrenOf(text, { start: 8, end: 18 })).toEqual([
      { token: 'b', span: { start: 13, end: 17 } },
    ])
  })

  it.each([
    { name: 'ends too early', span: { start: 0, end: 4 } },
    { name: 'ends too late', span: { start: 0, end: 6 } },
    { name: 'begins behind the text', span: { start: 9, end: 12 } },
  ])('is empty where the span $name', ({ span }) => {
    expect(childrenOf('[1,2]', { start: 0, end: 5 })).toHaveLength(2)
    expect(childrenOf('[1,2]', span)).toEqual([])
  })
})

describe('findValue', () => {
  it('finds every value of a document, as JSON.parse sees it', () => {
    fc.assert(
      fc.property(spelling, ({ value, text }) => {
        for (const [path, inner] of pathsOf(value)) {
          expect(JSON.parse(textAt(text, path) ?? 'undefined')).toEqual(
            JSON.parse(JSON.stringify(inner)),
          )
          expect(findValue(text, [...path, 'none such'])).toBeNull()
        }
      }),
      { numRuns: 300 },
    )
  })

  it('takes for JSON exactly what JSON.parse takes', () => {
    const cut = fc.record({
      at: fc.nat(),
      removed: fc.integer({ min: 0, max: 2 }),
      added: fc.string({
        unit: fc.constantFrom(...'[]{}",:\\0123.eE+-tfnu \u0000\u00A0'.split('')),
        maxLength: 2,
      }),
    })
    const damaged = fc.tuple(spelling, fc.array(cut, { maxLength: 2 })).map(([{ text }, cuts]) =>
      cuts.reduce((rest, { at, removed, added }) => {
        const start = at % (rest.length + 1)
        return rest.slice(0, start) + added + rest.slice(start + removed)
      }, text),
    )
    fc.assert(
      fc.property(damaged, (text) => {
        expect({ text, isFound: findValue(text, []) !== null }).toEqual({
          text,
          isFound: isJson(text),
        })
        fc.pre(!isJson(text))
        expect({ text, children: childrenOf(text, rootOf(text)) }).toEqual({ text, children: [] })
      }),
      { numRuns: 3000 },
    )
  })

  // After the n_ and y_ cases of nst/JSONTestSuite.
  it.each([
    {
      what: 'no scalars',
      texts: [
        '',
        ' ',
        'nul',
        'True',
        '+1',
        '01',
        '-',
        '-01',
        '1.',
        '.5',
        '1e',
        '1e+',
        '0x1',
        'NaN',
        '--1',
      ],
      expected: false,
    },
    {
      what: 'no strings',
      texts: [
        '"',
        '"\\"',
        '"\\x"',
        String.raw`"\u00g0"`,
        String.raw`"\u12"`,
        "'a'",
        '"\n"',
        '"\t"',
        '"\0"',
        '"\u001F"',
      ],
      expected: false,
    },
    {
      what: 'no arrays',
      texts: [
        '[',
        '[,1]',
        '[1 2]',
        '[1,,2]',
        ']',
        '[1]]',
        '[}',
        '[1:2]',
        '[-]',
        '[1}',
        '[[1}]',
        '{"a":1]',
        '[1',
      ],
      expected: false,
    },
    {
      what: 'no objects',
      texts: [
        '{',
        '{"a"}',
        '{"a":}',
        '{"a" 1}',
        '{a:1}',
        '{1:1}',
        '{"a":1 "b":2}',
        '{"a":1,,}',
        '{]',
        '{:1}',
      ],
      expected: false,
    },
    {
      what: 'not one value',
      texts: ['\uFEFF1', '1 2', '1\u00A0', '\v1', 'null1', '"a""b"', '{}{}', '/**/1'],
      expected: false,
    },
    {
      what: 'JSON',
      texts: [
        '0',
        '-0',
        '1E-2',
        '0.10e+05',
        'true',
        '"\u007F"',
        '"\u2028"',
        String.raw`"\ud800"`,
        '"\uD800"',
      ],
      expected: true,
    },
  ])('sees that some texts are $what', ({ texts, expected }) => {
    expect(texts.filter((text) => isJson(text) !== expected)).toEqual([])
    expect(texts.filter((text) => (findValue(text, []) !== null) !== expected)).toEqual([])
  })

  it.each([
    { name: 'digits that a double would lose', tokens: ['n'], expected: '9007199254740993.10' },
    { name: 'an element', tokens: ['a', '1'], expected: '"x"' },
    { name: 'no element by a spelling of its own', tokens: ['a', '01'], expected: null },
    { name: 'no element behind the last', tokens: ['a', '2'], expected: null },
    { name: 'no element "-"', tokens: ['a', '-'], expected: null },
    { name: 'the last member of a name', tokens: ['d'], expected: '2' },
    { name: 'nothing in the first member of a name', tokens: ['d', 'in'], expected: null },
    { name: 'the empty name', tokens: [''], expected: 'true' },
    { name: 'a name that needs escapes', tokens: ['a/"~'], expected: 'null' },
    { name: 'nothing in a string', tokens: ['a', '1', '0'], expected: null },
    { name: 'no inherited member', tokens: ['toString'], expected: null },
  ])('finds $name', ({ tokens, expected }) => {
    const text = String.raw`{"n": 9007199254740993.10 ,"a":[1, "x"],"d":{"in":1},"d":2,"":true,"a\/\u0022~":null}`
    expect(textAt(text, tokens)).toBe(expected)
  })

  it.each([
    { depth: 1000, expected: { start: 0, end: 2000 } },
    { depth: 1001, expected: null },
  ])('goes $depth levels deep', ({ depth, expected }) => {
    expect(findValue(nested(depth), [])).toEqual(expected)
  })

  it('finds the innermost of 1000 levels', () => {
    const text = `${'{"a":'.repeat(999)}[7]${'}'.repeat(999)}`
    expect(textAt(text, [...Array<string>(999).fill('a'), '0'])).toBe('7')
  })

  it.each([
    { name: 'escapes', inner: `"${String.raw`\n`.repeat(1 << 20)}"` },
    { name: 'characters', inner: `"${'é'.repeat(1 << 20)}"` },
    { name: 'digits', inner: '1'.repeat(1 << 20) },
    { name: 'elements', inner: `[${'1,'.repeat(1 << 20)}1]` },
    { name: 'spaces', inner: `[${' '.repeat(1 << 20)}]` },
  ])('passes over a million of $name', ({ inner }) => {
    expect(textAt(`{"a":${inner},"b":2}`, ['b'])).toBe('2')
    expect(textAt(`{"a":${inner},"b":2}`, ['a'])).toHaveLength(inner.length)
  })

  it.each(['[', '{"', '{"":', '[1,', '"\\', '\\'])(
    'comes to an end with %j a million times',
    (text) => {
      expect(findValue(text.repeat(1 << 20), ['0'])).toBeNull()
    },
  )
})
