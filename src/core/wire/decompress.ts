import { concat } from '../bytes.ts'
import { type FingerprintFault, payloadInvalid } from '../fingerprint/fault.ts'
import { err, ok, type Result } from '../result.ts'
import { type Coding, MAX_CODINGS, parseCodings } from './content-coding.ts'

/** How the platform's `DecompressionStream` undoes a content coding. */
interface Decompressor {
  readonly format: 'gzip' | 'deflate' | 'brotli'
  /** Input for one write: so little that what comes out of it fits into memory at the worst ratio. */
  readonly sliceBytes: number
}

// Deflate makes 1 byte into 1032 at most; Brotli makes some hundred thousand of it.
const DECOMPRESSORS: ReadonlyMap<string, Decompressor> = new Map<Coding, Decompressor>([
  ['gzip', { format: 'gzip', sliceBytes: 1024 }],
  ['deflate', { format: 'deflate', sliceBytes: 1024 }],
  ['br', { format: 'brotli', sliceBytes: 32 }],
])

/** A body, and the codings that it still has, in the order in which they were applied. */
export interface DecodedBody {
  readonly bytes: Uint8Array
  readonly codings: readonly string[]
}

/**
 * Undoes the content codings of a request's body, the last one first, up to one that the runtime does
 * not know. An empty body has no codings. `platform/decode-body.ts` decodes answers and accepts more:
 * here, a body that two decoders could read differently is refused.
 *
 * @param header The value of Content-Encoding.
 * @param maxDecodedBytes Limit after each coding; decoding stops there, not at the end.
 */
export async function undoContentEncoding(
  body: Uint8Array,
  header: string | null,
  maxDecodedBytes: number,
): Promise<Result<DecodedBody, FingerprintFault>> {
  const codings = parseCodings(header ?? '')
  if (codings.length > MAX_CODINGS) {
    return payloadInvalid(
      `The body has more than ${MAX_CODINGS} content codings. Send it with one, or with none.`,
    )
  }
  return undoFrom({ bytes: body, codings }, maxDecodedBytes)
}

async function undoFrom(
  { bytes, codings }: DecodedBody,
  maxDecodedBytes: number,
): Promise<Result<DecodedBody, FingerprintFault>> {
  const decompressor = DECOMPRESSORS.get(codings.at(-1) ?? '')
  const stream = decompressor && createStream(decompressor)
  if (decompressor === undefined || stream === undefined) return ok({ bytes, codings })
  const rest = codings.slice(0, -1)
  if (bytes.length === 0) return undoFrom({ bytes, codings: rest }, maxDecodedBytes)
  const decoded = await decompress(bytes, {
    stream,
    sliceBytes: decompressor.sliceBytes,
    maxDecodedBytes,
  })
  return decoded.ok ? undoFrom({ bytes: decoded.value, codings: rest }, maxDecodedBytes) : decoded
}

/** `undefined` if this runtime lacks the format, as workerd (2026-10) lacks Brotli. */
function createStream({ format }: Decompressor): Decompression['stream'] | undefined {
  try {
    // The types of the platforms disagree on formats and chunks, hence the casts.
    const stream: unknown = new DecompressionStream(format as 'gzip')
    return stream as Decompression['stream']
  } catch {
    return undefined
  }
}

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
 * Decompresses a body, and stops as soon as it is larger than allowed. Corrupt and truncated input is
 * refused, and anything after the end of the stream, such as a second gzip member.
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
 * Writes slice by slice, each one after the output of the last was read. workerd's stream has no back
 * pressure: it would inflate a bomb, written as a whole, into memory as a whole.
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
