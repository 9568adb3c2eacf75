import { describe, expect, it } from 'vitest'

import type { HeaderField } from '../../../../src/core/operation/snapshot.ts'
import {
  decideUndoing,
  parseCodings,
  toDecodedHeaders,
  toOriginEncodings,
} from '../../../../src/core/wire/content-coding.ts'

describe('parseCodings', () => {
  it.each([
    { field: '', expected: [] },
    { field: 'identity', expected: [] },
    { field: 'GZIP', expected: ['gzip'] },
    { field: 'x-gzip', expected: ['gzip'] },
    { field: 'deflate , ,gzip', expected: ['deflate', 'gzip'] },
  ])('reads "$field" as $expected', ({ field, expected }) => {
    expect(parseCodings(field)).toEqual(expected)
  })
})

describe('toOriginEncodings', () => {
  it.each([
    { accepted: null, expected: 'identity' },
    { accepted: '', expected: 'identity' },
    { accepted: 'identity', expected: 'identity' },
    { accepted: 'gzip;q=0.5, br', expected: 'gzip;q=0.5, br' },
    { accepted: 'gzip, deflate, br, zstd', expected: 'gzip, deflate, br, zstd' },
    { accepted: 'X-Gzip', expected: 'X-Gzip' },
    { accepted: 'compress, dcb, gzip', expected: 'gzip' },
    { accepted: 'compress', expected: 'identity' },
    { accepted: 'compress, identity;q=0', expected: 'identity;q=0' },
    { accepted: '*', expected: 'gzip, deflate, br, zstd' },
    { accepted: 'gzip;q=0, *;q=0.5', expected: 'gzip;q=0, deflate;q=0.5, br;q=0.5, zstd;q=0.5' },
    { accepted: 'br, *;q=0', expected: 'br, *;q=0' },
    { accepted: 'gzip;q=2, br;level=9, deflate', expected: 'deflate' },
  ])('narrows $accepted down to $expected', ({ accepted, expected }) => {
    expect(toOriginEncodings(accepted)).toBe(expected)
  })
})

describe('decideUndoing', () => {
  const gunzipped = { codings: ['gzip'], left: [] }

  it.each([
    { stored: '', accepted: 'identity', expected: null },
    { stored: 'gzip', accepted: null, expected: null },
    { stored: 'gzip', accepted: 'gzip', expected: null },
    { stored: 'gzip', accepted: 'br, X-GZIP ; q=0.001', expected: null },
    { stored: 'x-gzip', accepted: 'gzip', expected: null },
    { stored: 'gzip', accepted: '*', expected: null },
    { stored: 'gzip', accepted: '', expected: gunzipped },
    { stored: 'gzip', accepted: 'identity', expected: gunzipped },
    { stored: 'GZip', accepted: 'br', expected: gunzipped },
    { stored: 'gzip', accepted: 'gzip;q=0', expected: gunzipped },
    { stored: 'gzip', accepted: 'gzip;Q=0.000, *', expected: gunzipped },
    { stored: 'gzip', accepted: '*;q=0', expected: gunzipped },
    { stored: 'gzip', accepted: 'gzip;q=high', expected: gunzipped },
    { stored: 'gzip', accepted: 'gzip, gzip;q=0', expected: gunzipped },
    // Nothing that it accepts is there, and a refusal would hide the result.
    { stored: 'gzip', accepted: 'br, identity;q=0', expected: gunzipped },
    {
      stored: 'deflate, br, gzip',
      accepted: 'identity',
      expected: { codings: ['gzip', 'br', 'deflate'], left: [] },
    },
    { stored: 'deflate, gzip', accepted: 'deflate', expected: { ...gunzipped, left: ['deflate'] } },
    {
      stored: 'deflate, gzip',
      accepted: 'gzip',
      expected: { codings: ['gzip', 'deflate'], left: [] },
    },
    { stored: 'compress', accepted: 'identity', expected: null },
    { stored: 'compress, gzip', accepted: 'identity', expected: null },
    {
      stored: 'compress, gzip',
      accepted: 'compress',
      expected: { ...gunzipped, left: ['compress'] },
    },
    { stored: 'gzip,gzip,gzip,gzip,gzip', accepted: 'br', expected: null },
  ])('undoes $expected of $stored for a client of $accepted', ({ stored, accepted, expected }) => {
    expect(decideUndoing(stored, accepted)).toEqual(expected)
  })
})

describe('toDecodedHeaders', () => {
  const decoded = (...fields: readonly HeaderField[]) => toDecodedHeaders(fields, [])
  const VARY: HeaderField = ['vary', 'Accept-Encoding']

  it.each([
    { name: 'accept-ranges' },
    { name: 'content-digest' },
    { name: 'content-encoding' },
    { name: 'content-length' },
    { name: 'content-md5' },
    { name: 'digest' },
    { name: 'repr-digest' },
  ])('drops $name, which holds of other bytes', ({ name }) => {
    expect(decoded([name, 'x'], ['x-kept', 'x'])).toEqual([['x-kept', 'x'], VARY])
  })

  it.each([
    { tag: '"a"', expected: 'W/"a"' },
    { tag: 'W/"a"', expected: 'W/"a"' },
    { tag: 'none', expected: 'none' },
  ])('makes of the tag $tag $expected', ({ tag, expected }) => {
    expect(decoded(['etag', tag])).toEqual([['etag', expected], VARY])
  })

  it.each([
    { said: ['Origin'], expected: 'Origin, Accept-Encoding' },
    { said: ['Origin', 'accept-ENCODING'], expected: 'Origin, accept-ENCODING' },
    { said: ['*'], expected: '*' },
    { said: [''], expected: 'Accept-Encoding' },
    { said: ['X-Accept-Encoding'], expected: 'X-Accept-Encoding, Accept-Encoding' },
  ])('varies by $expected where the origin said $said', ({ said, expected }) => {
    expect(decoded(...said.map((value): HeaderField => ['vary', value]))).toEqual([
      ['vary', expected],
    ])
  })

  it('names the codings that are left', () => {
    const fields: HeaderField[] = [['content-encoding', 'deflate, br, gzip']]
    expect(toDecodedHeaders(fields, ['deflate', 'br'])).toEqual([
      ['content-encoding', 'deflate, br'],
      VARY,
    ])
  })
})
