import { describe, expect, it } from 'vitest'

import { decompress } from '../../../../src/core/wire/decompress.ts'

async function gzip(body: Uint8Array) {
  const compressed = new Blob([body]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Uint8Array(await new Response(compressed).arrayBuffer())
}

/** The platform's gzip, with a count of what comes out of it. */
function createCounted() {
  const inner = new DecompressionStream('gzip')
  const counted = { bytes: 0 }
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      counted.bytes += chunk.byteLength
      controller.enqueue(chunk)
    },
  })
  const stream = { writable: inner.writable, readable: inner.readable.pipeThrough(counter) }
  return { counted, stream }
}

describe('decompress', () => {
  it('inflates no more of a bomb than it may give', async () => {
    const { counted, stream } = createCounted()
    const bomb = await gzip(new Uint8Array(50_000_000))
    const result = await decompress(bomb, { stream, sliceBytes: 1024, maxDecodedBytes: 1_000_000 })
    expect(result).toEqual({
      ok: false,
      error: { kind: 'payload-too-large', limitBytes: 1_000_000 },
    })
    expect(counted.bytes).toBeLessThan(2_000_000)
  })

  it.each([1, 7, 1024, 1_000_000])(
    'gives the whole body from slices of %i bytes',
    async (sliceBytes) => {
      const body = Uint8Array.from({ length: 20_000 }, (_, index) => (index * index) % 251)
      const stream = new DecompressionStream('gzip')
      const result = await decompress(await gzip(body), {
        stream,
        sliceBytes,
        maxDecodedBytes: 20_000,
      })
      expect(result).toEqual({ ok: true, value: body })
    },
  )
})
