import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'

import { collectBody, type CollectedBody } from '../core/wire/body.ts'
import { type Coding, decideUndoing } from '../core/wire/content-coding.ts'

/** Input for one write: workerd (2026-10) decodes all of it before anything is read. */
const SLICE_BYTES = 1_024

/** Most bytes that a slice may decode to. Deflate makes a megabyte at most; Brotli has no such limit. */
const MAX_SLICE_OUTPUT_BYTES = 33_554_432

/** Fewer and larger pieces: workerd calls itself once for each piece of a slice. */
const OPTIONS = { chunkSize: 65_536 }

/**
 * Undoes content codings while the body is read, no faster than it is read. A body that is not what
 * it says, or is cut off, breaks off for the reader.
 *
 * The platform's `DecompressionStream` knows no Brotli; `node:zlib` is a part of the runtime as well.
 *
 * @param codings In the order in which they are undone.
 */
export function decodeBody(
  body: ReadableStream<Uint8Array>,
  codings: readonly Coding[],
): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  const decoded = codings.reduce(undo, readAll(reader))
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await decoded.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
    async cancel(reason) {
      await reader.cancel(reason)
      await decoded.return()
    },
  })
}

/**
 * Undoes all content codings of bytes that are at hand, up to a limit.
 *
 * @returns `null` when a coding is unknown, or the bytes do not match it.
 */
export async function decodeBytes(
  bytes: Uint8Array<ArrayBuffer>,
  contentEncoding: string,
  limitBytes: number,
): Promise<CollectedBody | null> {
  const undoing = decideUndoing(contentEncoding, 'identity')
  if (undoing === null) return null
  try {
    const decoded = decodeBody(new Blob([bytes]).stream(), undoing.codings)
    const collected = await collectBody(decoded, limitBytes)
    if (collected.kind === 'over') collected.rest.cancel().catch(() => {})
    return collected
  } catch {
    return null
  }
}

type Chunks = AsyncGenerator<Uint8Array, void, void>

async function* readAll(reader: ReadableStreamDefaultReader<Uint8Array>): Chunks {
  try {
    for (;;) {
      // oxlint-disable-next-line no-await-in-loop -- chunks come one after the other
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    // The source learns that nobody reads on.
    reader.cancel().catch(() => {})
  }
}

// Nothing at all is no encoded body, and stays nothing.
async function* undo(encoded: Chunks, coding: Coding): Chunks {
  let decoder: Decoder | null = null
  try {
    for await (const chunk of encoded) {
      for (let at = 0; at < chunk.byteLength; at += SLICE_BYTES) {
        const slice = chunk.subarray(at, at + SLICE_BYTES)
        decoder ??= new Decoder(coding, slice)
        // oxlint-disable-next-line no-await-in-loop -- one slice after the other is the point
        await decoder.write(slice)
        yield* decoder.take()
      }
    }
    await decoder?.end()
    yield* decoder?.take() ?? []
  } finally {
    decoder?.destroy()
  }
}

/** A decoder of the runtime, written to slice by slice, and stopped where a slice becomes too much. */
class Decoder {
  readonly #stream: ReturnType<typeof createDecoder>
  #output: Uint8Array[] = []
  #outputBytes = 0
  #fault: Error | null = null
  #hasEnded = false
  #stopWaiting: () => void = () => {}

  constructor(coding: Coding, start: Uint8Array) {
    this.#stream = createDecoder(coding, start)
    this.#stream.on('error', (error: Error) => this.#fail(error))
    // Zeros behind gzip's end are padding, and end it before the body does.
    this.#stream.on('end', () => {
      this.#hasEnded = true
      this.#stopWaiting()
    })
    this.#stream.on('data', (chunk: Uint8Array) => {
      this.#output.push(chunk)
      this.#outputBytes += chunk.byteLength
      if (this.#outputBytes <= MAX_SLICE_OUTPUT_BYTES) return
      this.#fail(new Error('An encoded body becomes too large too fast.'))
      this.#stream.destroy()
    })
  }

  /** @throws Whatever is wrong with the bytes. */
  write(slice: Uint8Array): Promise<void> {
    return this.#until((done) => this.#stream.write(slice, () => done()))
  }

  /** @throws Where bytes are missing. */
  end(): Promise<void> {
    return this.#until(() => this.#stream.end())
  }

  /** A fault may come before its write is awaited, and the write still ends. */
  async #until(begin: (done: () => void) => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#stopWaiting = resolve
    if (this.#fault === null && !this.#hasEnded) {
      begin(resolve)
      await promise
    }
    if (this.#fault !== null) throw this.#fault
  }

  #fail(fault: Error): void {
    this.#fault ??= fault
    this.#stopWaiting()
  }

  /** The bytes that were decoded since the last call. */
  take(): readonly Uint8Array[] {
    const output = this.#output
    this.#output = []
    this.#outputBytes = 0
    return output
  }

  destroy(): void {
    this.#stream.destroy()
  }
}

function createDecoder(coding: Coding, start: Uint8Array) {
  switch (coding) {
    case 'gzip':
      return createGunzip(OPTIONS)
    case 'deflate':
      // RFC 9110 §8.4.1.2 notes that some send it without the zlib format around it.
      return isZlib(start) ? createInflate(OPTIONS) : createInflateRaw(OPTIONS)
    case 'br':
      return createBrotliDecompress(OPTIONS)
    case 'zstd':
      return createZstdDecompress(OPTIONS)
  }
}

/** RFC 1950 §2.2: it begins with the number of the method, 8. */
const isZlib = ([first = 0]: Uint8Array) => (first & 0x0f) === 8
