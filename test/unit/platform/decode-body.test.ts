import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'

import { describe, expect, it } from 'vitest'

import type { Coding } from '../../../src/core/wire/content-coding.ts'
import { decodeBody } from '../../../src/platform/decode-body.ts'

const MIB = 1_048_576
const FAULT = /unexpected end of file|incorrect header check|invalid/
const text = JSON.stringify({ words: 'once and '.repeat(1_000), end: true })

/** A stream of these bytes in pieces of a size, and how many of them were read. */
function streamOf(bytes: Uint8Array, pieceBytes = bytes.byteLength) {
  const seen = { pieces: 0, isCancelled: false }
  let at = 0
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (at >= bytes.byteLength) return controller.close()
        seen.pieces += 1
        controller.enqueue(bytes.slice(at, (at += pieceBytes)))
      },
      cancel() {
        seen.isCancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, seen }
}

const read = async (bytes: Uint8Array, codings: readonly Coding[], pieceBytes?: number) =>
  Buffer.from(
    await new Response(decodeBody(streamOf(bytes, pieceBytes).stream, codings)).arrayBuffer(),
  )

describe('decodeBody', () => {
  it.each([
    { name: 'gzip', codings: ['gzip'], encoded: gzipSync(text) },
    { name: 'deflate', codings: ['deflate'], encoded: deflateSync(text) },
    { name: 'deflate without zlib', codings: ['deflate'], encoded: deflateRawSync(text) },
    { name: 'br', codings: ['br'], encoded: brotliCompressSync(text) },
    { name: 'zstd', codings: ['zstd'], encoded: zstdCompressSync(text) },
    {
      name: 'one coding upon another',
      codings: ['br', 'gzip', 'deflate'],
      encoded: brotliCompressSync(gzipSync(deflateSync(text))),
    },
  ] as const)('undoes $name, in pieces of any size', async ({ codings, encoded }) => {
    for (const pieceBytes of [1, 7, undefined]) {
      expect((await read(encoded, codings, pieceBytes)).toString()).toBe(text)
    }
  })

  it('reads gzip in several members as one', async () => {
    const encoded = Buffer.concat([gzipSync('one '), gzipSync('two')])
    expect((await read(encoded, ['gzip'])).toString()).toBe('one two')
  })

  it('ends where gzip is padded with zeros', async () => {
    const encoded = Buffer.concat([gzipSync(text), Buffer.alloc(2_000)])
    for (const pieceBytes of [7, undefined]) {
      expect((await read(encoded, ['gzip'], pieceBytes)).toString()).toBe(text)
    }
  })

  it.each(['gzip', 'deflate', 'br', 'zstd'] as const)(
    'leaves nothing as nothing: %s',
    async (coding) => {
      expect(await read(new Uint8Array(), [coding])).toHaveLength(0)
    },
  )

  it.each([
    { name: 'gzip that is cut off', coding: 'gzip', encoded: gzipSync(text).subarray(0, -9) },
    { name: 'br that is cut off', coding: 'br', encoded: brotliCompressSync(text).subarray(0, -1) },
    {
      name: 'zstd that is cut off',
      coding: 'zstd',
      encoded: zstdCompressSync(text).subarray(0, -1),
    },
    { name: 'no gzip', coding: 'gzip', encoded: Buffer.from(text) },
    { name: 'no deflate', coding: 'deflate', encoded: Buffer.from('\xFF'.repeat(100), 'latin1') },
  ] as const)('breaks off for the reader: $name', async ({ coding, encoded }) => {
    await expect(read(encoded, [coding])).rejects.toThrow(FAULT)
  })

  it('breaks off where the body breaks off', async () => {
    const encoded = gzipSync(text)
    const broken = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(encoded.subarray(0, 20))
        controller.error(new Error('The origin is gone.'))
      },
    })
    await expect(new Response(decodeBody(broken, ['gzip'])).text()).rejects.toThrow(
      'The origin is gone.',
    )
  })

  it('lets go of a body that is broken', async () => {
    const { stream, seen } = streamOf(Buffer.from(text), 100)
    await expect(new Response(decodeBody(stream, ['gzip'])).text()).rejects.toThrow(FAULT)
    expect(seen).toEqual({ pieces: 1, isCancelled: true })
  })

  it('gives what is there before more comes', async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const reader = decodeBody(readable, ['gzip']).getReader()
    const writer = writable.getWriter()
    void writer.write(gzipSync('first').subarray(0))
    const { value } = await reader.read()
    expect(Buffer.from(value ?? []).toString()).toBe('first')
    await reader.cancel()
  })

  it('reads no more of a body than is asked for, and lets go of it', async () => {
    const { stream, seen } = streamOf(gzipSync(Buffer.alloc(64 * MIB)), 1_024)
    const reader = decodeBody(stream, ['gzip']).getReader()
    await reader.read()
    expect(seen.pieces).toBeLessThan(5)
    await reader.cancel()
    expect(seen.isCancelled).toBe(true)
  })

  it('gives every byte of gzip that is as dense as it can be', async () => {
    const encoded = gzipSync(Buffer.alloc(40 * MIB))
    expect(await read(encoded, ['gzip'])).toHaveLength(40 * MIB)
  })

  it('stops where a few bytes of Brotli would fill the memory', async () => {
    const params = { [constants.BROTLI_PARAM_QUALITY]: 4 }
    const bomb = brotliCompressSync(Buffer.alloc(128 * MIB), { params })
    expect(bomb.byteLength).toBeLessThan(1_024)
    await expect(read(bomb, ['br'])).rejects.toThrow('too large')
  })
})
