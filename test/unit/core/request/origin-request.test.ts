import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { HeaderField } from '../../../../src/core/operation/snapshot.ts'
import {
  decodeStoredRequest,
  encodeStoredRequest,
  toProbeHeaders,
} from '../../../../src/core/request/origin-request.ts'
import { anyText } from '../../../fakes/any-text.ts'

const bytesUpTo = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => new Uint8Array(array))

describe('encodeStoredRequest', () => {
  it.each([
    { name: 'no body', body: null },
    { name: 'an empty body', body: new Uint8Array() },
    { name: 'a body that looks like a head', body: new TextEncoder().encode('{"a":1}').slice() },
  ])('tells $name from any other', ({ body }) => {
    const request = { method: 'POST', path: '/payments?a=1', headers: [], body }
    const stored = { request, sealKey: null }
    expect(decodeStoredRequest(encodeStoredRequest(stored))).toEqual(stored)
  })

  it('gives back every request that goes in, with and without a key, also from the middle of a buffer', () => {
    const text = anyText()
    const request = fc.record({
      method: fc.constantFrom('POST', 'PATCH', 'DELETE'),
      path: text,
      headers: fc.array(fc.tuple(text, text)),
      body: fc.option(bytesUpTo(300)),
    })
    const sealKey = fc.option(fc.record({ id: text, bytes: bytesUpTo(32) }))
    const withKeys = { hasKey: false, hasNone: false }
    fc.assert(
      fc.property(fc.record({ request, sealKey }), fc.nat(8), (stored, offset) => {
        const encoded = encodeStoredRequest(stored)
        const buffer = new Uint8Array(offset + encoded.byteLength)
        buffer.set(encoded, offset)
        expect(decodeStoredRequest(buffer.subarray(offset))).toEqual(stored)
        withKeys[stored.sealKey === null ? 'hasNone' : 'hasKey'] = true
      }),
    )
    expect(withKeys).toEqual({ hasKey: true, hasNone: true })
  })
})

describe('toProbeHeaders', () => {
  it.each([
    { name: 'content-type' },
    { name: 'content-length' },
    { name: 'content-encoding' },
    { name: 'content-digest' },
    { name: 'idempotency-key' },
    { name: 'if-match' },
    { name: 'if-none-match' },
    { name: 'if-modified-since' },
    { name: 'if-unmodified-since' },
    { name: 'if-range' },
    { name: 'range' },
    { name: 'prefer' },
    { name: 'if_none_match' },
    { name: 'content.type' },
    { name: 'x-http-method-override' },
    { name: 'x_http_method' },
    { name: 'x-method-override' },
    { name: 'x-original-url' },
    { name: 'x-rewrite-url' },
  ])('does not ask with $name, which is of the request itself', ({ name }) => {
    expect(toProbeHeaders([[name, 'x']])).toEqual([])
  })

  it('asks as the one who has sent the request, about the same trace', () => {
    const fields: HeaderField[] = [
      ['accept', 'application/json'],
      ['authorization', 'Bearer a'],
      ['cookie', 'a=1'],
      ['cookie', 'b=2'],
      ['traceparent', 't'],
      ['x-correlation-id', 'c'],
      ['x-content-type', 'x'],
      ['x-range', 'x'],
      ['preference', 'x'],
    ]
    expect(toProbeHeaders(fields)).toEqual(fields)
  })
})
