import { concat } from './body.ts'
import { type FingerprintFault, payloadInvalid } from './fingerprint/fault.ts'
import { err, ok, type Result } from './result.ts'

/** How to decompress: with which stream, and how far. */
export interface Decompression {
  readonly stream: {
    readonly writable: WritableStream<Uint8Array>
    readonly readable: ReadableStream<Uint8Array>
  }
  /** Input for one write: the memory that decompression takes is what this much may become. */
  readonly sliceBytes: number
  readonly maxDecodedBytes: number
}

interface Output {
  readonly chunks: Uint8Array[]
  readonly maxBytes: number
  bytes: number
}

/**
 * Decompresses a body, and stops as soon as it has become larger than allowed.
 *
 * Corrupt and truncated input is refused, and so is whatever follows the end of the stream, a second
 * gzip member included: the platform's `DecompressionStream` knows none.
 */
export async function decompress(
  body: Uint8Array,
  { stream, sliceBytes, maxDecodedBytes }: Decompression,
): Promise<Result<Uint8Array, FingerprintFault>> {
  const output: Output = { chunks: [], maxBytes: maxDecodedBytes, bytes: 0 }
  try {
    const drained = drain(stream, output)
    const fed = feed(stream, body, sliceBytes, output)
    // A failed write must not wait for a read that never comes, nor a full output for a write.
    await Promise.race([drained, fed.then(() => drained)])
    if (isFull(output)) return err({ kind: 'payload-too-large', limitBytes: maxDecodedBytes })
    await fed
    return ok(concat(output.chunks))
  } catch {
    return payloadInvalid(
      'The body is not what its Content-Encoding says, or is cut off. Send it whole, or without encoding.',
    )
  }
}

const isFull = (output: Output) => output.bytes > output.maxBytes

async function drain(stream: Decompression['stream'], output: Output): Promise<void> {
  // Leaving the loop cancels the stream.
  for await (const chunk of stream.readable) {
    output.bytes += chunk.byteLength
    if (isFull(output)) return
    output.chunks.push(chunk)
  }
}

/**
 * Writes slice by slice, and the next one only when what came out of the last one has been read.
 *
 * workerd's stream has no back pressure: a write inflates all that it gets into memory at once, so
 * a bomb written as a whole would be inflated as a whole.
 */
async function feed(
  stream: Decompression['stream'],
  body: Uint8Array,
  sliceBytes: number,
  output: Output,
): Promise<void> {
  const writer = stream.writable.getWriter()
  for (let at = 0; at < body.length; at += sliceBytes) {
    if (at > 0) {
      // oxlint-disable-next-line no-await-in-loop -- one slice after the other is the point
      await catchUp(output)
    }
    if (isFull(output)) return
    // oxlint-disable-next-line no-await-in-loop -- as above
    await writer.write(body.subarray(at, at + sliceBytes))
  }
  await writer.close()
}

/** Waits as long as the reader makes progress from one turn of the event loop to the next. */
async function catchUp(output: Output): Promise<void> {
  const before = output.bytes
  await turn()
  if (output.bytes > before && !isFull(output)) await catchUp(output)
}

/** A turn that is not shorter than a read: a microtask would be, and the core has no timers. */
async function turn(): Promise<void> {
  await new Response('x').arrayBuffer()
}
