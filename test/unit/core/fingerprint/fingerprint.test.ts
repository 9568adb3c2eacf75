import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { createDigest } from '../../../../src/core/digest.ts'
import {
  fingerprint,
  type FingerprintRules,
  readBody,
  toComparedRequest,
} from '../../../../src/core/fingerprint/fingerprint.ts'

async function compress(
  body: string | Uint8Array,
  format: 'gzip' | 'deflate' | 'deflate-raw' | 'brotli',
) {
  // The types know nothing of Brotli.
  const compressed = new Blob([body]).stream().pipeThrough(new CompressionStream(format as 'gzip'))
  return new Uint8Array(await new Response(compressed).arrayBuffer())
}

const gzip = async (body: string | Uint8Array) => await compress(body, 'gzip')

interface Sent {
  readonly method?: string
  readonly path?: string
  readonly search?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

const MAX_DECODED_BYTES = 1_048_576
const NO_RULES: FingerprintRules = { ignore: [], dates: [], headers: [], query: true }
const encoder = new TextEncoder()

async function fingerprintOf(sent: Sent, rules: Partial<FingerprintRules> = {}) {
  const { method = 'POST', path = '/payments', search = '', headers = {}, body = '' } = sent
  const bytes = typeof body === 'string' ? encoder.encode(body) : new Uint8Array(body)
  const head = { method, path, search, headers: new Headers(headers) }
  const all = { ...NO_RULES, ...rules }
  const read = await readBody(bytes, head.headers, all, MAX_DECODED_BYTES)
  return read.ok
    ? fingerprint(toComparedRequest(head, read.value, all), createDigest())
    : read.error
}

const json = (body: string | Uint8Array, more: Readonly<Record<string, string>> = {}): Sent => ({
  headers: { 'Content-Type': 'application/json', ...more },
  body,
})
const text = (body: string | Uint8Array, more: Readonly<Record<string, string>> = {}): Sent => ({
  headers: { 'Content-Type': 'text/plain', ...more },
  body,
})

describe('fingerprint', () => {
  it('is the version and a digest of 43 characters', async () => {
    expect(await fingerprintOf(json('{}'))).toMatch(/^v1:[\w-]{43}$/)
  })

  it('stays what it is from release to release', async () => {
    // Changed by a change of the canonical form, which needs a new version.
    expect(await fingerprintOf({ ...json('{"b":1.0,"a":[]}'), search: '?q=1' })).toBe(
      'v1:a-BVaYfnzA3lfVrvPCCEh-VOuSH5fWZWiS_GnA3E5WA',
    )
  })

  const base: Sent = { ...json('{"a":1}'), search: '?q=1' }

  it.each<{ name: string; other: Sent }>([
    { name: 'spelling of JSON', other: { ...base, body: ' { "\\u0061" : 1.0 } ' } },
    {
      name: 'spelling of the media type',
      other: { ...base, headers: { 'content-type': 'Application/JSON; charset="UTF-8"' } },
    },
    { name: 'spelling of the query', other: { ...base, search: '?&%71=%31' } },
    {
      name: 'headers that the rules do not name',
      other: { ...base, headers: { ...base.headers, 'User-Agent': 'x' } },
    },
    {
      name: 'the coding "identity"',
      other: { ...base, headers: { ...base.headers, 'Content-Encoding': 'Identity' } },
    },
  ])('does not count $name', async ({ other }) => {
    expect(await fingerprintOf(other)).toBe(await fingerprintOf(base))
  })

  it.each<{ name: string; other: Sent }>([
    { name: 'the method', other: { ...base, method: 'PUT' } },
    { name: 'the path', other: { ...base, path: '/refunds' } },
    { name: 'the case of the path', other: { ...base, path: '/Payments' } },
    { name: 'the query', other: { ...base, search: '?q=2' } },
    { name: 'that there is a query', other: { ...base, search: '' } },
    { name: 'the media type', other: { ...base, headers: { 'Content-Type': 'text/json' } } },
    {
      name: 'a parameter of the media type',
      other: { ...base, headers: { 'Content-Type': 'application/json;v=2' } },
    },
    { name: 'the body', other: { ...base, body: '{"a":2}' } },
    { name: 'where the path ends', other: { ...base, path: '/payment', search: '?sq=1' } },
  ])('counts $name', async ({ other }) => {
    expect(await fingerprintOf(other)).toMatch(/^v1:/)
    expect(await fingerprintOf(other)).not.toBe(await fingerprintOf(base))
  })

  const withField = async (name: string, value: string, rules: Partial<FingerprintRules> = {}) =>
    await fingerprintOf({ ...base, headers: { ...base.headers, [name]: value } }, rules)

  it.each([
    { name: 'X-HTTP-Method', value: 'MERGE', other: 'DELETE' },
    { name: 'X-HTTP-Method-Override', value: 'DELETE', other: 'PUT' },
    { name: 'X-Method-Override', value: 'DELETE', other: '' },
    { name: 'X_HTTP_Method_Override', value: 'DELETE', other: 'PUT' },
    { name: 'X-Original-URL', value: '/a', other: '/A' },
    { name: 'X-Rewrite-URL', value: '/a', other: '/b' },
    { name: 'Range', value: 'bytes=0-1', other: 'bytes=0-2' },
    { name: 'If-Range', value: '"a"', other: '"b"' },
    { name: 'If-None-Match', value: '"a"', other: '"A"' },
    { name: 'If-Modified-Since', value: 'Thu, 01 Jan 2026 00:00:00 GMT', other: '' },
    { name: 'If_None_Match', value: '"a"', other: '"b"' },
  ])('counts $name wherever it is', async ({ name, value, other }) => {
    const found = [await fingerprintOf(base), await withField(name, value)]
    found.push(await withField(name, other))
    expect(new Set(found).size).toBe(3)
    expect(await withField(name, value)).toBe(found[1])
  })

  it('tells a field that counts from its twin, which some origins read and others do not', async () => {
    const found = await withField('X-HTTP-Method-Override', 'DELETE')
    expect(await withField('X_HTTP_Method_Override', 'DELETE')).not.toBe(found)
    expect(await withField('X-Method-Override', 'DELETE')).not.toBe(found)
  })

  it('compares the method that another one is overridden with in any case', async () => {
    const found = await withField('X-HTTP-Method-Override', 'DELETE')
    expect(await withField('x-http-method-override', ' Delete ')).toBe(found)
  })

  it.each([{ name: 'If-Match' }, { name: 'If-Unmodified-Since' }, { name: 'X-Method' }])(
    'does not count $name unless the rules name it',
    async ({ name }) => {
      expect(await withField(name, 'x')).toBe(await fingerprintOf(base))
    },
  )

  it('compares a field that the rules name as they say', async () => {
    const rules = { headers: ['X-HTTP-Method-Override'] }
    expect(await withField('X-HTTP-Method-Override', 'put', rules)).not.toBe(
      await withField('X-HTTP-Method-Override', 'PUT', rules),
    )
  })

  it('counts the method that a form or a query names', async () => {
    const form = (body: string): Sent => ({
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body,
    })
    expect(await fingerprintOf(form('_method=DELETE&a=1'))).not.toBe(
      await fingerprintOf(form('_method=PUT&a=1')),
    )
    expect(await fingerprintOf({ ...base, search: '?_method=DELETE' })).not.toBe(
      await fingerprintOf({ ...base, search: '?_method=PUT' }),
    )
  })

  it('compares as bytes what is neither JSON nor form nor multipart', async () => {
    expect(await fingerprintOf(text('{"a":1}'))).not.toBe(await fingerprintOf(text('{"a": 1}')))
    expect(await fingerprintOf(text(new Uint8Array([0xff])))).not.toBe(
      await fingerprintOf(text(new Uint8Array([0xfe]))),
    )
    expect(await fingerprintOf({ body: 'not JSON' })).toMatch(/^v1:/)
    expect(
      await fingerprintOf({
        headers: { 'Content-Type': 'application/json, text/plain' },
        body: 'x',
      }),
    ).toMatch(/^v1:/)
    expect(await fingerprintOf({ headers: { 'Content-Type': 'nonsense' } })).not.toBe(
      await fingerprintOf({}),
    )
  })

  it('leaves the query out where the rules say so', async () => {
    const rules = { query: false }
    expect(await fingerprintOf({ search: '?a=1' }, rules)).toBe(await fingerprintOf({}, rules))
  })

  it('counts the headers that the rules name, in any case and order', async () => {
    const rules = { headers: ['X-Account', 'x-region'] }
    const fingerprintWith = async (headers: Record<string, string>) =>
      await fingerprintOf({ headers }, rules)
    const absent = await fingerprintWith({})
    const empty = await fingerprintWith({ 'x-account': '' })
    const one = await fingerprintWith({ 'X-ACCOUNT': '1' })
    const other = await fingerprintWith({ 'x-account': '2' })
    const elsewhere = await fingerprintWith({ 'x-region': '1' })
    expect(new Set([absent, empty, one, other, elsewhere]).size).toBe(5)
    expect(
      await fingerprintOf(
        { headers: { 'x-account': '1' } },
        { headers: ['x-region', 'x-account', 'X-Account'] },
      ),
    ).toBe(one)
  })

  it('compares forms by pairs, and applies pointers to their fields', async () => {
    const form = (body: string): Sent => ({
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body,
    })
    expect(await fingerprintOf(form('b=2&a=1'))).toBe(await fingerprintOf(form('a=%31&b=2')))
    expect(await fingerprintOf(form('a=%FF'))).not.toBe(await fingerprintOf(form('a=%FE')))
    const rules = { ignore: ['/trace'], dates: ['/at'] }
    expect(await fingerprintOf(form('trace=1&at=2026-11-24T10:00:00Z'), rules)).toBe(
      await fingerprintOf(form('at=2026-11-24T11:00:00%2B01:00'), rules),
    )
  })

  it('applies pointers to the body only, not to the query', async () => {
    const rules = { ignore: ['/a'] }
    expect(await fingerprintOf({ ...base, body: '{"a":2}' }, rules)).toBe(
      await fingerprintOf(base, rules),
    )
    expect(await fingerprintOf({ ...base, search: '?a=1' }, rules)).not.toBe(
      await fingerprintOf({ ...base, search: '?a=2' }, rules),
    )
  })

  it('compares multipart bodies without their boundary', async () => {
    const multipart = (boundary: string, value: string): Sent => ({
      headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}` },
      body: `--${boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\n${value}\r\n--${boundary}--\r\n`,
    })
    expect(await fingerprintOf(multipart('x', '1'))).toBe(
      await fingerprintOf(multipart('----y', '1')),
    )
    expect(await fingerprintOf(multipart('x', '1'))).not.toBe(
      await fingerprintOf(multipart('x', '2')),
    )
    expect(
      await fingerprintOf({ headers: { 'Content-Type': 'multipart/form-data' }, body: '--x--' }),
    ).toMatchObject({ kind: 'payload-invalid' })
  })

  it('refuses a body that is not what its media type says', async () => {
    expect(await fingerprintOf(json(' '))).toMatchObject({ kind: 'payload-invalid' })
    expect(await fingerprintOf(json('{'))).toMatchObject({ kind: 'payload-invalid' })
    expect(await fingerprintOf(json('['.repeat(100_000)))).toMatchObject({
      kind: 'payload-invalid',
    })
  })

  it('differs between deployments with other secrets', async () => {
    const head = { method: 'POST', path: '/', search: '', headers: new Headers() }
    const read = await readBody(new Uint8Array(), head.headers, NO_RULES, 1)
    if (!read.ok) throw new Error('An empty body is read.')
    const values = ['one', 'other'].map((secret) =>
      fingerprint(toComparedRequest(head, read.value, NO_RULES), createDigest(secret)),
    )
    expect(values[0]).not.toEqual(values[1])
  })

  it('throws for a malformed pointer, whatever the media type', async () => {
    await expect(fingerprintOf(text('x'), { ignore: ['a'] })).rejects.toThrow('must begin with "/"')
  })
})

const document = JSON.stringify({
  a: 1,
  list: Array.from({ length: 5000 }, (_, index) => `item ${index * 7919}`),
})
const gzipped = await gzip(document)
const gzippedTwice = await gzip(gzipped)
const deflated = await compress(document, 'deflate')
const deflatedAndGzipped = await gzip(deflated)
const brotli = await compress(document, 'brotli')
const hello = await gzip('hello')
const withoutWrapper = await compress('hello', 'deflate-raw')

describe('fingerprint of a compressed body', () => {
  it.each([
    { name: 'gzip', encoding: 'gzip', body: gzipped },
    // Bytes 4 to 7 of a gzip file are the time when it was made.
    { name: 'gzip of another time', encoding: 'GZIP', body: gzipped.with(4, 1) },
    { name: 'x-gzip', encoding: 'x-gzip', body: gzipped },
    { name: 'deflate', encoding: 'deflate', body: deflated },
    { name: 'Brotli, in Node', encoding: 'br', body: brotli },
    {
      name: 'two codings',
      encoding: 'deflate, gzip',
      body: deflatedAndGzipped,
    },
    {
      name: 'two codings and identity',
      encoding: 'identity, gzip , ,gzip',
      body: gzippedTwice,
    },
  ])('equals that of the plain body: $name', async ({ encoding, body }) => {
    const coded = { 'Content-Encoding': encoding }
    expect(await fingerprintOf(json(body, coded))).toBe(await fingerprintOf(json(document)))
    expect(await fingerprintOf(text(body, coded))).toBe(await fingerprintOf(text(document)))
  })

  it('compares as bytes what it cannot decompress, and counts the coding', async () => {
    const fingerprintWith = async (encoding: string) =>
      await fingerprintOf(json('{"a": 1}', { 'Content-Encoding': encoding }))
    const found = await Promise.all(
      ['zstd', 'compress', 'zstd, compress', 'compress, zstd'].map(fingerprintWith),
    )
    expect(new Set([...found, await fingerprintOf(json('{"a": 1}'))]).size).toBe(5)
    expect(await fingerprintWith('ZSTD')).toBe(found[0])
    expect(await fingerprintOf(json('{"a":1}', { 'Content-Encoding': 'zstd' }))).not.toBe(found[0])
  })

  it('decompresses as far as it can', async () => {
    const outer = await fingerprintOf(text(await gzip('x'), { 'Content-Encoding': 'zstd, gzip' }))
    expect(outer).toBe(await fingerprintOf(text('x', { 'Content-Encoding': 'zstd' })))
    const inner = await fingerprintOf(text(await gzip('x'), { 'Content-Encoding': 'gzip, zstd' }))
    expect(inner).not.toBe(await fingerprintOf(text('x', { 'Content-Encoding': 'zstd' })))
  })

  it('takes four codings and refuses five', async () => {
    const four = await gzip(await gzip(await gzip(hello)))
    const five = await gzip(four)
    expect(await fingerprintOf(text(four, { 'Content-Encoding': 'gzip,gzip,gzip,gzip' }))).toBe(
      await fingerprintOf(text('hello')),
    )
    expect(
      await fingerprintOf(text(five, { 'Content-Encoding': 'gzip,gzip,gzip,gzip,gzip' })),
    ).toEqual({
      kind: 'payload-invalid',
      reason: expect.stringContaining('more than 4 content codings') as string,
    })
  })

  it.each([
    { type: 'application/json' },
    { type: 'application/problem+json; charset=utf-8' },
    { type: 'application/x-www-form-urlencoded' },
    { type: 'multipart/form-data' },
    { type: 'multipart/form-data; boundary=b' },
    { type: 'text/plain' },
  ])('takes an empty body of $type for empty, and for that type', async ({ type }) => {
    const of = (body: string | Uint8Array, more = {}) =>
      fingerprintOf({ headers: { 'Content-Type': type, ...more }, body })
    const empty = await of('')
    expect(empty).toMatch(/^v1:/)
    expect(await of(await gzip(''), { 'Content-Encoding': 'gzip' })).toBe(empty)
    expect(await fingerprintOf({ headers: { 'Content-Type': 'text/other' } })).not.toBe(empty)
    expect(await of('""')).not.toBe(empty)
  })

  it('does not take blanks for an empty body of JSON', async () => {
    expect(await fingerprintOf(json(' \r\n'))).toMatchObject({ kind: 'payload-invalid' })
  })

  it('takes an empty body for empty, whatever its coding', async () => {
    expect(await fingerprintOf(text('', { 'Content-Encoding': 'gzip' }))).toBe(
      await fingerprintOf(text('')),
    )
  })

  it.each([
    { name: 'no gzip at all', encoding: 'gzip', body: encoder.encode('hello') },
    { name: 'gzip cut off in the data', encoding: 'gzip', body: hello.subarray(0, -10) },
    { name: 'gzip cut off in the checksum', encoding: 'gzip', body: hello.subarray(0, -1) },
    {
      name: 'a wrong checksum',
      encoding: 'gzip',
      body: hello.map((byte, at) => (at === hello.length - 6 ? byte ^ 1 : byte)),
    },
    { name: 'something after the end', encoding: 'gzip', body: Uint8Array.of(...hello, 0) },
    {
      name: 'much after the end',
      encoding: 'gzip',
      body: Uint8Array.of(...hello, ...new Uint8Array(5000)),
    },
    { name: 'a second member', encoding: 'gzip', body: Uint8Array.of(...hello, ...hello) },
    {
      name: 'deflate without its zlib wrapper',
      encoding: 'deflate',
      body: withoutWrapper,
    },
    { name: 'one coding fewer than said', encoding: 'gzip, gzip', body: hello },
  ])('is refused for $name', async ({ encoding, body }) => {
    expect(await fingerprintOf(text(body, { 'Content-Encoding': encoding }))).toMatchObject({
      kind: 'payload-invalid',
    })
  })

  it('takes what decompresses to the limit and refuses a byte more', async () => {
    const fingerprintOfZeros = async (count: number) =>
      await fingerprintOf(text(await gzip(new Uint8Array(count)), { 'Content-Encoding': 'gzip' }))
    expect(await fingerprintOfZeros(MAX_DECODED_BYTES)).toMatch(/^v1:/)
    expect(await fingerprintOfZeros(MAX_DECODED_BYTES + 1)).toEqual({
      kind: 'payload-too-large',
      limitBytes: MAX_DECODED_BYTES,
    })
  })

  it.each([
    { name: 'gzip', encoding: 'gzip', format: 'gzip' },
    { name: 'Brotli', encoding: 'br', format: 'brotli' },
  ] as const)('refuses a bomb: $name', async ({ encoding, format }) => {
    const bomb = await compress(new Uint8Array(30_000_000), format)
    const found = await fingerprintOf(json(bomb, { 'Content-Encoding': encoding }))
    expect(found).toMatchObject({ kind: 'payload-too-large' })
  })
})

describe('fingerprint of arbitrary JSON', () => {
  const value = fc.jsonValue({ maxDepth: 4 })

  /** Writes JSON with members, space and escapes as the seed has it. */
  function respell(node: unknown, next: () => number): string {
    const space = ['', ' ', '\n\t', '\r\n'][next() % 4] ?? ''
    if (typeof node === 'string') return `${space}${respellString(node, next)}${space}`
    if (typeof node === 'number')
      return `${space}${node === 0 ? '-0.0e7' : node.toExponential()}${space}`
    if (node === null || typeof node !== 'object') return space + JSON.stringify(node)
    if (Array.isArray(node))
      return `${space}[${node.map((item) => respell(item, next)).join(',') || space}]`
    const members = Object.entries(node).map(
      ([name, member]) => `${respellString(name, next)}${space}:${respell(member, next)}`,
    )
    return `{${members.toSorted(() => (next() % 2) - 0.5).join(`,${space}`)}}${space}`
  }

  function respellString(string: string, next: () => number): string {
    const units = Array.from({ length: string.length }, (_, at) => string.charCodeAt(at))
    const isEscaped = next() % 2 === 0
    const escape = (unit: number) => `\\u${unit.toString(16).padStart(4, '0')}`
    return isEscaped ? `"${units.map(escape).join('')}"` : JSON.stringify(string)
  }

  function createSeed(seed: number) {
    let state = seed
    return () => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
      return state >> 8
    }
  }

  it('stays when members, space, escapes and numbers are spelled in another way', async () => {
    await fc.assert(
      fc.asyncProperty(value, fc.nat(), async (node, seed) => {
        const spelled = respell(node, createSeed(seed))
        expect(await fingerprintOf(json(spelled))).toBe(
          await fingerprintOf(json(JSON.stringify(node))),
        )
      }),
      { numRuns: 300 },
    )
  })

  function changeLeaf(leaf: unknown): unknown {
    if (typeof leaf === 'string') return `${leaf}x`
    if (typeof leaf === 'number') return leaf === 1 ? 2 : 1
    return leaf === null ? 0 : !leaf
  }

  /** Every document that differs from this one in one leaf. */
  function toMutants(node: unknown): readonly unknown[] {
    if (node === null || typeof node !== 'object') return [changeLeaf(node)]
    const entries = Object.entries(node)
    return entries.flatMap(([name, member], at) =>
      toMutants(member).map((mutant) =>
        Array.isArray(node)
          ? node.with(at, mutant)
          : Object.fromEntries(entries.with(at, [name, mutant])),
      ),
    )
  }

  it('changes with every leaf', async () => {
    await fc.assert(
      fc.asyncProperty(value, async (node) => {
        const original = await fingerprintOf(json(JSON.stringify(node)))
        for (const mutant of toMutants(node)) {
          expect(await fingerprintOf(json(JSON.stringify(mutant)))).not.toBe(original)
        }
      }),
      { numRuns: 100 },
    )
  })
})
