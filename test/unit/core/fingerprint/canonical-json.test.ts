import fc from 'fast-check'
import { canonicalize } from 'json-canonicalize'
import { describe, expect, it } from 'vitest'

import { toCanonicalJson } from '../../../../src/core/fingerprint/canonical-json.ts'
import { createPointerTree } from '../../../../src/core/fingerprint/pointer-tree.ts'

const encoder = new TextEncoder()

function canonicalOf(
  text: string,
  rules: { ignore?: readonly string[]; dates?: readonly string[] } = {},
) {
  const pointers = createPointerTree(rules.ignore ?? [], rules.dates ?? [])
  const result = toCanonicalJson(encoder.encode(text), pointers)
  return result.ok ? result.value : result.error
}

const refusal = (reason: RegExp) => ({
  kind: 'payload-invalid',
  reason: expect.stringMatching(reason) as string,
})

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

/** JSON values with doubles as JavaScript writes them. */
const jsonValue = fc.jsonValue({ maxDepth: 5, stringUnit: 'grapheme' })

describe('toCanonicalJson', () => {
  // The test data of cyberphone/json-canonicalization, which RFC 8785 refers to.
  it.each([
    {
      name: 'arrays',
      input: '[ 56, { "d": true, "10": null, "1": [ ] } ]',
      expected: '[56,{"1":[],"10":null,"d":true}]',
    },
    {
      name: 'french',
      input:
        '{"peach":"This sorting order","péché":"is wrong","pêche":"but canonicalization MUST","sin":"ignore locale"}',
      expected:
        '{"peach":"This sorting order","péché":"is wrong","pêche":"but canonicalization MUST","sin":"ignore locale"}',
    },
    {
      name: 'structures',
      input:
        '{"1": {"f": {"f": "hi","F": 5} ,"\\n": 56.0}, "10": { }, "": "empty", "a": { }, "111": [ {"e": "yes","E": "no" } ], "A": { } }',
      expected:
        '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}',
    },
    {
      name: 'unicode',
      input: String.raw`{"Unnormalized Unicode":"A\u030a"}`,
      expected: '{"Unnormalized Unicode":"A\u030A"}',
    },
    {
      name: 'values',
      input: String.raw`{"numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001], "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}`,
      expected: String.raw`{"literals":[null,true,false],"numbers":[1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    },
    {
      name: 'weird',
      input: String.raw`{"\u20ac":"Euro Sign","\r":"Carriage Return","\u000a":"Newline","1":"One","\u0080":"Control\u007f","\ud83d\ude02":"Smiley","\u00f6":"Latin","\ufb33":"Hebrew","</script>":"Browser"}`,
      expected: `{"\\n":"Newline","\\r":"Carriage Return","1":"One","</script>":"Browser","\u0080":"Control\u007F","ö":"Latin","€":"Euro Sign","😂":"Smiley","\uFB33":"Hebrew"}`,
    },
  ])('writes the RFC 8785 example "$name"', ({ input, expected }) => {
    expect(canonicalOf(input)).toBe(expected)
  })

  it('keeps the digits that RFC 8785 would round away', () => {
    expect(canonicalOf('[333333333.33333329,9007199254740993]')).toBe(
      '[333333333.33333329,9007199254740993]',
    )
  })

  it('equals RFC 8785 for every document that JavaScript writes', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const text = JSON.stringify(value)
        expect(canonicalOf(text)).toBe(canonicalize(JSON.parse(text)))
      }),
      { numRuns: 500 },
    )
  })

  it('is its own canonical form', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const canonical = canonicalOf(JSON.stringify(value))
        expect(canonicalOf(canonical as string)).toBe(canonical)
      }),
    )
  })

  // After the y_ cases of nst/JSONTestSuite.
  it.each([
    { name: 'space around tokens', text: ' \t\r\n[ 1 , { "a" : 2 } ] \n', expected: '[1,{"a":2}]' },
    { name: 'a lonely string', text: '"asd"', expected: '"asd"' },
    { name: 'a lonely literal', text: 'false', expected: 'false' },
    {
      name: 'an escaped NUL in a name',
      text: String.raw`{"a\u0000":1}`,
      expected: String.raw`{"a\u0000":1}`,
    },
    { name: 'a raw DEL', text: '"\u007F"', expected: '"\u007F"' },
    { name: 'a raw U+2028', text: '"\u2028"', expected: '"\u2028"' },
    { name: 'an escaped U+2028', text: String.raw`"\u2028"`, expected: '"\u2028"' },
    { name: 'an escaped pair', text: String.raw`"\uD834\uDD1e"`, expected: '"𝄞"' },
    { name: 'an escaped noncharacter', text: String.raw`"\uFFFE"`, expected: '"\uFFFE"' },
    { name: 'an escaped slash', text: String.raw`"\/"`, expected: '"/"' },
    { name: 'a backslash before the end', text: String.raw`"\\"`, expected: String.raw`"\\"` },
    { name: 'an empty name', text: '{"":0}', expected: '{"":0}' },
    { name: 'minus zero', text: '[-0,0]', expected: '[0,0]' },
    {
      name: 'an integer of 21 digits',
      text: '100000000000000000000',
      expected: '100000000000000000000',
    },
    { name: 'an integer of 22 digits', text: '-1000000000000000000000', expected: '-1e+21' },
  ])('takes $name', ({ text, expected }) => {
    expect(canonicalOf(text)).toBe(expected)
  })

  // After the n_ cases of nst/JSONTestSuite, and a few of its i_ cases.
  it.each([
    '',
    ' ',
    '[',
    ']',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[1,,2]',
    '[1 2]',
    '[1}',
    '{',
    '{]',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{"a" 1}',
    '{"a"::1}',
    '{a:1}',
    "{'a':1}",
    '{1:1}',
    '{"a":1 "b":2}',
    '[] []',
    '1 2',
    '[]x',
    '{}}',
    '"',
    '"a',
    String.raw`"\"`,
    String.raw`"\x"`,
    String.raw`"\u12"`,
    String.raw`"\u00G0"`,
    String.raw`"\U0041"`,
    String.raw`"\\\"`,
    '"\t"',
    '"a\nb"',
    '"\u0000"',
    '"\\\n"',
    '"\u001F"',
    "'a'",
    'True',
    'tru',
    'nul',
    'nulll',
    'truefalse',
    'NaN',
    'Infinity',
    '-Infinity',
    'undefined',
    '-',
    '+1',
    '01',
    '-01',
    '1.',
    '-1.',
    '.5',
    '1e',
    '1e+',
    '1E-',
    '1.e1',
    '1.5e',
    '0x1',
    '1_000',
    '１',
    '- 1',
    '--1',
    '1e1.5',
    '1eE2',
    '\u00A01',
    '\u000B1',
    '\u000C1',
    '// c\n1',
    '/**/1',
    '[1]/**/',
    '\uFEFF{}',
    '{}\uFEFF',
  ])('refuses %j', (text) => {
    expect(canonicalOf(text)).toMatchObject({ kind: 'payload-invalid' })
  })

  it('agrees with JSON.parse on what is JSON, whatever is done to a document', () => {
    const character = fc.constantFrom(
      ...Array.from('[]{}",:\\ \n0123456789.eE+-truefalsn/u\u0001é'),
    )
    const spoiled = fc
      .tuple(jsonValue, fc.nat(), fc.nat(3), fc.array(character, { maxLength: 3 }))
      .map(([value, at, dropped, inserted]) => {
        const text = JSON.stringify(value)
        const start = at % (text.length + 1)
        return text.slice(0, start) + inserted.join('') + text.slice(start + dropped)
      })
      // Surrogates cut in two become U+FFFD in the encoder, for both.
      .map((text) => text.toWellFormed())
    fc.assert(
      fc.property(spoiled, (text) => {
        let isJson = true
        try {
          JSON.parse(text)
        } catch {
          isJson = false
        }
        const canonical = canonicalOf(text)
        const isAccepted = typeof canonical === 'string'
        // Refused here and not there; what comes after it may be no JSON either.
        const isStricter =
          !isAccepted &&
          canonical.kind === 'payload-invalid' &&
          /two members|surrogate|exponent of/.test(canonical.reason)
        expect(isStricter || isAccepted === isJson).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    { name: 'side by side', text: '{"a":1,"a":1}' },
    { name: 'apart', text: '{"b":1,"c":3,"b":2}' },
    { name: 'by an escape', text: String.raw`{"a":1,"\u0061":2}` },
    { name: 'in depth', text: '[{"x":{"k":1,"j":2,"k":3}}]' },
    { name: 'of the name __proto__', text: '{"__proto__":1,"__proto__":2}' },
    { name: 'of the empty name', text: '{"":1,"":2}' },
  ])('refuses two members of one name: $name', ({ text }) => {
    expect(canonicalOf(text)).toEqual(refusal(/two members of one name/))
  })

  it('refuses two members of one name even where they are ignored', () => {
    expect(canonicalOf('{"a":1,"a":2}', { ignore: ['/a'] })).toEqual(refusal(/two members/))
  })

  it('takes __proto__ and its like for ordinary members', () => {
    expect(canonicalOf('{"__proto__":{"b":1},"constructor":0,"a":2}')).toBe(
      '{"__proto__":{"b":1},"a":2,"constructor":0}',
    )
    expect(canonicalOf('{"__proto__":1}')).not.toBe(canonicalOf('{}'))
  })

  it.each([
    String.raw`"\uD800"`,
    String.raw`"\uDC00"`,
    String.raw`"\uDC00\uD800"`,
    String.raw`"\uD800\uD800\uDC00"`,
    String.raw`"\uD83Dx"`,
    String.raw`"\uD83D😂"`,
    String.raw`{"\uDEAD":1}`,
  ])('refuses half of a surrogate pair: %s', (text) => {
    expect(canonicalOf(text)).toEqual(refusal(/surrogate/))
  })

  it.each([
    { name: 'a lonely continuation byte', bytes: [0x22, 0x80, 0x22] },
    { name: 'an overlong slash', bytes: [0x22, 0xc0, 0xaf, 0x22] },
    { name: 'an encoded surrogate', bytes: [0x22, 0xed, 0xa0, 0x80, 0x22] },
    { name: 'a sequence that is cut off', bytes: [0x22, 0xe2, 0x82, 0x22] },
    { name: 'UTF-16', bytes: [0xff, 0xfe, 0x31, 0x00] },
  ])('refuses malformed UTF-8: $name', ({ bytes }) => {
    expect(toCanonicalJson(new Uint8Array(bytes), undefined)).toMatchObject({
      ok: false,
      error: refusal(/not UTF-8/),
    })
  })

  it('says what is wrong with an empty body and with a byte order mark', () => {
    expect(canonicalOf('')).toEqual(refusal(/empty/))
    expect(canonicalOf('\uFEFF1')).toEqual(refusal(/byte order mark/))
  })

  it('takes 1000 levels and refuses 1001', () => {
    expect(canonicalOf(nested(1000))).toBe(nested(1000))
    expect(canonicalOf(nested(1001))).toEqual(refusal(/deeper than 1000/))
    expect(canonicalOf(`[${`${nested(999)},`.repeat(3)}1]`)).toBeTypeOf('string')
  })

  it('refuses 100,000 levels without using up the stack', () => {
    expect(canonicalOf('['.repeat(100_000))).toEqual(refusal(/deeper than 1000/))
    expect(canonicalOf('{"a":'.repeat(100_000))).toEqual(refusal(/deeper than 1000/))
  })

  it('never quotes the payload', () => {
    for (const text of [
      '{"secret":1,"secret":2}',
      'secret',
      '{"a":secret}',
      String.raw`"secret\uD800"`,
    ]) {
      expect(JSON.stringify(canonicalOf(text))).not.toContain('secret')
    }
  })

  it('writes a long document as a short one', () => {
    const members = Array.from({ length: 3000 }, (_, index) => [
      `k${(index * 7919) % 3000}`,
      [index, 'x', { b: [], a: {} }],
    ])
    const text = JSON.stringify([Object.fromEntries(members), 'y'.repeat(5000), members])
    expect(canonicalOf(text)).toBe(canonicalize(JSON.parse(text)))
  })
})

describe('toCanonicalJson with ignored pointers', () => {
  it.each([
    { name: 'a member', ignore: ['/a'], one: '{"a":1,"b":2}', other: '{"b":2,"a":{"x":[]}}' },
    { name: 'a member that is absent', ignore: ['/a'], one: '{"a":1,"b":2}', other: '{"b":2}' },
    { name: 'the only member', ignore: ['/a'], one: '{"a":1}', other: '{}' },
    {
      name: 'a member in depth',
      ignore: ['/a/b/c'],
      one: '{"a":{"b":{"c":1}}}',
      other: '{"a":{"b":{}}}',
    },
    {
      name: 'a member of an array element',
      ignore: ['/0/a'],
      one: '[{"a":1}]',
      other: '[{"a":2}]',
    },
    { name: 'an array element', ignore: ['/1'], one: '[1,2,3]', other: '[1,"x",3]' },
    { name: 'a name with a slash', ignore: ['/a~1b'], one: '{"a/b":1}', other: '{}' },
    { name: 'a name with a tilde', ignore: ['/m~0n'], one: '{"m~n":1}', other: '{}' },
    { name: 'a name with ~1 in it', ignore: ['/~01'], one: '{"~1":1}', other: '{}' },
    { name: 'the empty name', ignore: ['/'], one: '{"":1}', other: '{}' },
    { name: 'an escaped name', ignore: ['/é'], one: String.raw`{"\u00e9":1}`, other: '{}' },
    { name: 'the name __proto__', ignore: ['/__proto__'], one: '{"__proto__":1}', other: '{}' },
    {
      name: 'a member of every item',
      ignore: ['/items/*/at'],
      one: '{"items":[{"at":1,"x":1},{"at":2}]}',
      other: '{"items":[{"x":1,"at":3},{}]}',
    },
    {
      name: 'a member of every member',
      ignore: ['/*/at'],
      one: '{"a":{"at":1},"*":{"at":1}}',
      other: '{"a":{"at":2},"*":{}}',
    },
    { name: 'every item, but for their number', ignore: ['/*'], one: '[1,2]', other: '[3,4]' },
    { name: 'every member', ignore: ['/*'], one: '{"a":1}', other: '{}' },
  ])('leaves out $name', ({ ignore, one, other }) => {
    expect(canonicalOf(one)).not.toBe(canonicalOf(other))
    expect(canonicalOf(one, { ignore })).toBe(canonicalOf(other, { ignore }))
  })

  it.each([
    {
      name: 'the neighbours of an ignored member',
      ignore: ['/a'],
      one: '{"a":1,"b":2}',
      other: '{"a":1,"b":3}',
    },
    {
      name: 'the same name elsewhere',
      ignore: ['/a'],
      one: '{"b":{"a":1}}',
      other: '{"b":{"a":2}}',
    },
    {
      name: 'positions around an ignored element',
      ignore: ['/1'],
      one: '[1,2,3]',
      other: '[1,3,2]',
    },
    { name: 'the length of an array', ignore: ['/0'], one: '[]', other: '[1]' },
    { name: 'an index that is not written so', ignore: ['/01'], one: '[0,1]', other: '[0,2]' },
    {
      name: 'the parent of an ignored member',
      ignore: ['/a/b'],
      one: '{"a":{"b":1}}',
      other: '{}',
    },
    {
      name: 'the number of items that are left out',
      ignore: ['/*'],
      one: '[1,2]',
      other: '[1]',
    },
    {
      name: 'the neighbours of a member of every item',
      ignore: ['/items/*/at'],
      one: '{"items":[{"x":1}]}',
      other: '{"items":[{"x":2}]}',
    },
    {
      name: 'what lies deeper than every item',
      ignore: ['/*/at'],
      one: '[[{"at":1}]]',
      other: '[[{"at":2}]]',
    },
    {
      name: 'what inherits no rule',
      ignore: ['/a'],
      one: '{"toString":1}',
      other: '{"toString":2}',
    },
  ])('still compares $name', ({ ignore, one, other }) => {
    expect(canonicalOf(one, { ignore })).not.toBe(canonicalOf(other, { ignore }))
  })

  it('still refuses an ignored value that is not JSON', () => {
    expect(canonicalOf('{"a":01}', { ignore: ['/a'] })).toMatchObject({ kind: 'payload-invalid' })
  })
})

describe('toCanonicalJson, attacked', () => {
  const MILLION = 1_000_000
  const names = (count: number, of: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => `"${of(index)}":1`).join()

  // Each is done in well under a second; in quadratic time it would take minutes.
  it.each([
    { name: 'brackets that do not close', text: '['.repeat(MILLION) },
    { name: 'blanks', text: `[${' '.repeat(MILLION)}1]` },
    { name: 'escapes', text: `"${String.raw`\u0041\n`.repeat(MILLION / 8)}"` },
    { name: 'digits', text: `1.${'7'.repeat(MILLION)}e9` },
    { name: 'zeros', text: `0.${'0'.repeat(MILLION)}1` },
    { name: 'an exponent of zeros', text: `1e${'0'.repeat(MILLION)}1` },
    { name: 'names, descending', text: `{${names(80_000, (index) => String(9_999_999 - index))}}` },
    {
      name: 'names of one beginning',
      text: `{${names(2_000, (index) => 'p'.repeat(500) + index)}}`,
    },
    { name: 'one name', text: `{${names(150_000, () => 'a')}}` },
    {
      name: 'a long text at the limit of nesting',
      text: `${'["",'.repeat(1_000)}"${'a'.repeat(MILLION)}"${']'.repeat(1_000)}`,
    },
  ])('takes linear time for $name', ({ text }) => {
    expect(canonicalOf(text, { ignore: ['/a'], dates: ['/b'] })).toBeDefined()
  })
})

describe('toCanonicalJson with date pointers', () => {
  const dates = ['/at', '/list/0']
  it.each([
    { one: '{"at":"2026-11-24T10:00:00Z"}', other: '{"at":"2026-11-24T11:00:00+01:00"}' },
    { one: '{"list":["2026-11-24T10:00:00.50Z"]}', other: '{"list":["2026-11-24T10:00:00.5Z"]}' },
    { one: String.raw`{"at":"2026-11-24\u005410:00:00Z"}`, other: '{"at":"2026-11-24T10:00:00Z"}' },
  ])('takes $one and $other for one instant', ({ one, other }) => {
    expect(canonicalOf(one, { dates })).toBe(canonicalOf(other, { dates }))
    expect(canonicalOf(one)).not.toBe(canonicalOf(other, { dates }))
  })

  it.each([
    { one: '{"at":"2026-11-24T10:00:00Z"}', other: '{"at":"2026-11-24T10:00:01Z"}' },
    { one: '{"at":"tomorrow"}', other: '{"at":"Tomorrow"}' },
    { one: '{"at":1}', other: '{"at":"1"}' },
    { one: '{"at":null}', other: '{}' },
    { one: '{"by":"2026-11-24T10:00:00Z"}', other: '{"by":"2026-11-24T11:00:00+01:00"}' },
    {
      one: '{"list":[0,"2026-11-24T10:00:00Z"]}',
      other: '{"list":[0,"2026-11-24T11:00:00+01:00"]}',
    },
    {
      one: '{"at":{"at":"2026-11-24T10:00:00Z"}}',
      other: '{"at":{"at":"2026-11-24T11:00:00+01:00"}}',
    },
  ])('tells $one from $other', ({ one, other }) => {
    expect(canonicalOf(one, { dates })).not.toBe(canonicalOf(other, { dates }))
  })

  it('cannot be deceived by a string that spells an instant', () => {
    const instant = canonicalOf('"2026-11-24T10:00:00Z"')
    const spelled = (canonicalOf('{"at":"2026-11-24T10:00:00Z"}', { dates }) as string).slice(6, -1)
    expect(spelled).not.toBe(instant)
    expect(canonicalOf(JSON.stringify({ at: spelled }), { dates })).not.toBe(`{"at":${spelled}}`)
  })
})
