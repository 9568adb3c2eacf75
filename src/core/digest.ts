import { createHash, createHmac, hash } from 'node:crypto'

import { LENGTH_BYTES, lengthOf } from './bytes.ts'

/**
 * Names a list of parts: base64url of a SHA-256 over them, 43 characters. Every part follows its
 * length, so no two lists share one encoding. Digests for different purposes never meet.
 */
export type Digest = (purpose: string, ...parts: Parts) => string

/**
 * Creates the digest function of a deployment. It is synchronous: nothing can happen between a decision
 * and the digest that belongs to it.
 *
 * @param secret If given, digests are HMACs with it, so that nobody who reads the storage can try
 *   out guessed keys or payloads. With another secret, no earlier operation is found.
 */
export function createDigest(secret = ''): Digest {
  return (...parts) => {
    const isShort = maxBytesOf(parts) <= shared.byteLength
    // The other way makes a stream for each digest, which takes three times as long.
    if (isShort && secret === '') return hash('sha256', encodeShort(parts), 'base64url')
    const sum = secret === '' ? createHash('sha256') : createHmac('sha256', secret)
    const encoded = isShort ? [encodeShort(parts)] : encodeEach(parts)
    for (const bytes of encoded) sum.update(bytes)
    return sum.digest('base64url')
  }
}

const encoder = new TextEncoder()

/** UTF-8 needs at most three bytes for a UTF-16 code unit. */
const MAX_UNIT_BYTES = 3

/** Most lists of parts fit into this buffer, which every digest uses again. */
const shared = new Uint8Array(16_384)
const sharedView = new DataView(shared.buffer)

type Parts = readonly (string | Uint8Array)[]

function maxBytesOf(parts: Parts): number {
  let bytes = 0
  for (const part of parts) {
    bytes += LENGTH_BYTES
    bytes += typeof part === 'string' ? part.length * MAX_UNIT_BYTES : part.byteLength
  }
  return bytes
}

/** Encodes parts into the shared buffer: valid until the next call. */
function encodeShort(parts: Parts): Uint8Array {
  let end = 0
  for (const part of parts) {
    const start = end + LENGTH_BYTES
    end = start + write(part, shared.subarray(start))
    sharedView.setUint32(start - LENGTH_BYTES, end - start)
  }
  return shared.subarray(0, end)
}

/** @returns The number of bytes. */
function write(part: string | Uint8Array, to: Uint8Array): number {
  if (typeof part === 'string') return encoder.encodeInto(part, to).written
  to.set(part)
  return part.byteLength
}

function* encodeEach(parts: Parts): Generator<Uint8Array> {
  for (const part of parts) {
    const bytes = typeof part === 'string' ? encoder.encode(part) : part
    yield lengthOf(bytes)
    yield bytes
  }
}
