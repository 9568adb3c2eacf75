import { describe, expect, it } from 'vitest'

import { createDigest } from '../../src/core/digest.ts'
import {
  fingerprint,
  type FingerprintRules,
  readBody,
  toComparedRequest,
} from '../../src/core/fingerprint/fingerprint.ts'
import { decompress } from '../../src/core/wire/decompress.ts'

const NO_RULES: FingerprintRules = { ignore: [], dates: [], headers: [], query: true }
const MAX_DECODED_BYTES = 1_048_576
const encoder = new TextEncoder()
const DOCUMENT = JSON.stringify(
  Array.from({ length: 20_000 }, (_, index) => ({ id: index * 7919, name: `item ${index % 97}` })),
)

async function compress(body: string | Uint8Array, format: 'gzip' | 'deflate') {
  const stream = new CompressionStream(format)
  const writer = stream.writable.getWriter()
  const written = writer.write(typeof body === 'string' ? encoder.encode(body) : body)
  const bytes = new Response(stream.readable).arrayBuffer()
  await written
  await writer.close()
  return new Uint8Array(await bytes)
}

async function fingerprintOf(body: string | Uint8Array, headers: Record<string, string> = {}) {
  const head = {
    method: 'POST',
    path: '/payments',
    search: '?q=1',
    headers: new Headers({ 'Content-Type': 'application/json', ...headers }),
  }
  const bytes = typeof body === 'string' ? encoder.encode(body) : body
  const read = await readBody(bytes, head.headers, NO_RULES, MAX_DECODED_BYTES)
  return read.ok
    ? fingerprint(toComparedRequest(head, read.value, NO_RULES), createDigest())
    : read.error
}

describe('fingerprint, in workerd', () => {
  it('is the same as in Node', async () => {
    expect(await fingerprintOf('{"b":1.0,"a":[]}')).toBe(
      'v1:a-BVaYfnzA3lfVrvPCCEh-VOuSH5fWZWiS_GnA3E5WA',
    )
  })

  it.each([
    { name: 'malformed UTF-8', body: new Uint8Array([0x22, 0xff, 0x22]) },
    { name: 'a byte order mark', body: '\uFEFF{}' },
    { name: 'half of a surrogate pair', body: String.raw`"\uD800"` },
    { name: 'two members of one name', body: '{"a":1,"a":1}' },
    { name: '1001 levels', body: '['.repeat(1001) + ']'.repeat(1001) },
    { name: '100,000 levels', body: '['.repeat(100_000) },
    { name: '100,000 levels of objects', body: '{"a":'.repeat(100_000) },
  ])('refuses $name', async ({ body }) => {
    expect(await fingerprintOf(body)).toMatchObject({ kind: 'payload-invalid' })
  })

  it('takes 1000 levels of arrays, and of objects', async () => {
    expect(await fingerprintOf('['.repeat(1000) + ']'.repeat(1000))).toMatch(/^v1:/)
    expect(await fingerprintOf(`${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`)).toMatch(/^v1:/)
  })

  it.each(['gzip', 'deflate'] as const)('compares %s decompressed', async (format) => {
    const compressed = await compress(DOCUMENT, format)
    expect(compressed.length).toBeGreaterThan(10_000)
    expect(await fingerprintOf(compressed, { 'Content-Encoding': format })).toBe(
      await fingerprintOf(DOCUMENT),
    )
  })

  it('refuses gzip that is cut off, followed by something, or none', async () => {
    const compressed = await compress('{"a":1}', 'gzip')
    for (const body of [
      compressed.subarray(0, -1),
      Uint8Array.of(...compressed, 0),
      Uint8Array.of(...compressed, ...compressed),
      encoder.encode('{"a":1}'),
    ]) {
      expect(await fingerprintOf(body, { 'Content-Encoding': 'gzip' })).toMatchObject({
        kind: 'payload-invalid',
      })
    }
  })

  it('compares Brotli as bytes while this runtime cannot decompress it', async () => {
    expect(() => new DecompressionStream('brotli' as 'gzip')).toThrow(TypeError)
    // Brotli of "hello", which is no JSON: nobody looked inside.
    const hello = new Uint8Array([11, 2, 128, 104, 101, 108, 108, 111, 3])
    const found = await fingerprintOf(hello, { 'Content-Encoding': 'br' })
    expect(found).toMatch(/^v1:/)
    expect(
      await fingerprintOf(
        hello.map((byte) => byte ^ 1),
        { 'Content-Encoding': 'br' },
      ),
    ).not.toBe(found)
  })

  it('stops a bomb early: its stream has no back pressure, so it is fed in slices', async () => {
    const bomb = await compress(new Uint8Array(50_000_000), 'gzip')
    expect(await fingerprintOf(bomb, { 'Content-Encoding': 'gzip' })).toEqual({
      kind: 'payload-too-large',
      limitBytes: MAX_DECODED_BYTES,
    })
    const inner = new DecompressionStream('gzip')
    const writer = inner.writable.getWriter()
    let fedBytes = 0
    const writable = new WritableStream<Uint8Array>({
      async write(chunk) {
        fedBytes += chunk.byteLength
        await writer.write(chunk)
      },
    })
    const stream = { writable, readable: inner.readable }
    const result = await decompress(bomb, {
      stream,
      sliceBytes: 1024,
      maxDecodedBytes: MAX_DECODED_BYTES,
    })
    expect(result.ok).toBe(false)
    // A KiB of it becomes a MiB.
    expect(fedBytes).toBeLessThanOrEqual(3 * 1024)
  })
})
