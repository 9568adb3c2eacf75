import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'

import { describe, expect, it } from 'vitest'

import type { CollectedBody } from '../../../src/core/wire/body.ts'
import { isFromProxy } from '../../../src/origin/from-proxy.ts'

const ENVOY =
  'upstream connect error or disconnect/reset before headers. reset reason: connection termination'
const ORIGIN = '{"retry":true}'

const whole = (bytes: string | Uint8Array): CollectedBody => ({
  kind: 'whole',
  bytes: new Uint8Array(Buffer.from(bytes)),
})

function ask(body: CollectedBody, encoding?: string): Promise<boolean> {
  const headers = encoding === undefined ? [] : [['content-encoding', encoding] as const]
  return isFromProxy({ status: 503, headers }, body)
}

describe('isFromProxy', () => {
  it.each([
    { encoding: undefined, encode: (text: string) => Buffer.from(text) },
    { encoding: 'identity', encode: (text: string) => Buffer.from(text) },
    { encoding: 'gzip', encode: gzipSync },
    { encoding: 'X-Gzip', encode: gzipSync },
    { encoding: 'deflate', encode: deflateSync },
    { encoding: 'deflate', encode: deflateRawSync },
    { encoding: 'br', encode: brotliCompressSync },
    { encoding: 'gzip, br', encode: (text: string) => brotliCompressSync(gzipSync(text)) },
  ])('reads what was encoded: $encoding', async ({ encoding, encode }) => {
    expect(await ask(whole(encode(ENVOY)), encoding)).toBe(true)
    expect(await ask(whole(encode(ORIGIN)), encoding)).toBe(false)
    expect(await ask(whole(''), encoding)).toBe(false)
  })

  it.each([
    { name: 'in a coding that is not known', encoding: 'compress', bytes: ORIGIN },
    { name: 'that is not what it says', encoding: 'gzip', bytes: ORIGIN },
    { name: 'that is cut off', encoding: 'br', bytes: brotliCompressSync(ORIGIN).subarray(0, -4) },
  ])('doubts what cannot be read: a body $name', async ({ encoding, bytes }) => {
    expect(await ask(whole(bytes), encoding)).toBe(true)
  })

  it('reads the beginning of what is too large', async () => {
    const rest = new ReadableStream<Uint8Array>().getReader()
    const encoded = gzipSync(`${ENVOY}${' '.repeat(1_000_000)}`)
    expect(await ask({ kind: 'over', head: [encoded.subarray(0, 500)], rest }, 'gzip')).toBe(true)
    expect(await ask({ kind: 'over', head: [Buffer.from(ORIGIN)], rest })).toBe(false)
    const long = gzipSync(`${ORIGIN}${' '.repeat(1_000_000)}`)
    expect(await ask(whole(long), 'gzip')).toBe(false)
  })

  it('asks about no other status', async () => {
    expect(await isFromProxy({ status: 500, headers: [] }, whole(ENVOY))).toBe(false)
  })
})
