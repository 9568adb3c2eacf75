import { describe, expect, it } from 'vitest'

import {
  isForm,
  isJson,
  isMultipart,
  parseMediaType,
  toCanonicalMediaType,
} from '../../../../src/core/wire/media-type.ts'

function canonicalOf(header: string) {
  const type = parseMediaType(header)
  return type && toCanonicalMediaType(type)
}

describe('toCanonicalMediaType', () => {
  it.each([
    {
      expected: 'application/json',
      headers: [
        'application/json',
        'Application/JSON',
        'application/json;',
        'application/json ; charset=UTF-8',
        'application/json;charset="utf-8"',
      ],
    },
    {
      expected: 'application/json;charset="latin1"',
      headers: ['application/json; charset=Latin1'],
    },
    {
      expected: 'application/x-www-form-urlencoded',
      headers: ['application/x-www-form-urlencoded;charset=utf-8'],
    },
    {
      expected: 'text/plain;charset="utf-8"',
      headers: ['text/plain; charset=utf-8', 'text/plain;CHARSET=UTF-8'],
    },
    {
      expected: 'text/plain;a="1";b="X y"',
      headers: ['text/plain;b="X y";a=1', 'text/plain; A="1" ;; B="X\\ y"; '],
    },
    { expected: String.raw`text/plain;a="\"\\"`, headers: [String.raw`text/plain;a="\"\\"`] },
    { expected: 'text/plain;boundary="x"', headers: ['text/plain;boundary=x'] },
    {
      expected: 'multipart/form-data',
      headers: ['multipart/form-data; boundary=x', 'Multipart/Form-Data;BOUNDARY="y z"'],
    },
  ])('writes $expected for $headers', ({ headers, expected }) => {
    expect(headers.map(canonicalOf)).toEqual(headers.map(() => expected))
  })

  it('keeps parameter values apart', () => {
    expect(canonicalOf('a/b;x="1\\";y=\\"2"')).not.toBe(canonicalOf('a/b;x=1;y=2'))
    expect(canonicalOf('a/b;x=Y')).not.toBe(canonicalOf('a/b;x=y'))
    expect(canonicalOf('a/b;x=1;x=2')).not.toBe(canonicalOf('a/b;x=2;x=1'))
  })
})

describe('parseMediaType', () => {
  it.each([
    '',
    'json',
    'application/',
    '/json',
    'application/json, text/plain',
    'a/b;c',
    'a/b;c=',
    'a/b;c="d',
    'a/b;c = d',
    'a/b c',
    ' a/b',
  ])('takes "%s" for no media type', (header) => {
    expect(parseMediaType(header)).toBeUndefined()
  })

  it('takes linear time', () => {
    for (const filler of [' ', '"', ';a="', ';a="\\"']) {
      expect(parseMediaType(`a/b;${filler.repeat(100_000)}=`)).toBeUndefined()
      expect(parseMediaType(`a/b;x=""${filler.repeat(100_000)}=`)).toBeUndefined()
    }
  })
})

describe('kinds', () => {
  it.each([
    { header: 'application/json', expected: 'json' },
    { header: 'TEXT/JSON', expected: 'json' },
    { header: 'application/vnd.api+json', expected: 'json' },
    { header: 'application/problem+JSON; v=1', expected: 'json' },
    { header: 'image/svg+xml', expected: 'bytes' },
    { header: 'application/jsonl', expected: 'bytes' },
    { header: 'application/json-seq', expected: 'bytes' },
    { header: 'application/x-www-form-urlencoded', expected: 'form' },
    { header: 'multipart/mixed; boundary=b', expected: 'multipart' },
    { header: 'text/plain', expected: 'bytes' },
  ])('takes $header for $expected', ({ header, expected }) => {
    const type = parseMediaType(header)
    if (type === undefined) throw new Error('The header must parse.')
    const kinds = { json: isJson(type), form: isForm(type), multipart: isMultipart(type) }
    const found = Object.entries(kinds).filter(([, is]) => is)
    expect(found.map(([kind]) => kind)).toEqual(expected === 'bytes' ? [] : [expected])
  })
})
