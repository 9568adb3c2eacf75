import { parseCodings } from '../content-coding.ts'
import { decompress, type Decompression } from '../decompress.ts'
import { ok, type Result } from '../result.ts'
import { type FingerprintFault, payloadInvalid } from './fault.ts'

/** More codings one upon another are refused: each may cost as much as the limit allows. */
const MAX_CODINGS = 4

/** A content coding (RFC 9110 §8.4.1) that the platform may know. */
interface Coding {
  readonly format: 'gzip' | 'deflate' | 'brotli'
  /** Input for one write: so little that what comes out of it fits into memory at the worst ratio. */
  readonly sliceBytes: number
}

// Deflate makes 1 byte into 1032 at most; Brotli makes some hundred thousand of it.
const CODINGS: ReadonlyMap<string, Coding> = new Map([
  ['gzip', { format: 'gzip', sliceBytes: 1024 }],
  ['deflate', { format: 'deflate', sliceBytes: 1024 }],
  ['br', { format: 'brotli', sliceBytes: 32 }],
])

/** A body, and the codings that still lie upon it, in the order in which they were applied. */
export interface DecodedBody {
  readonly bytes: Uint8Array
  readonly codings: readonly string[]
}

/**
 * Undoes the content codings of a body, the last one first, as far as the runtime can.
 *
 * From the first one that it does not know, the bytes stay as they are. An empty body has nothing
 * to undo, whatever its header says.
 *
 * @param header The value of Content-Encoding.
 * @param maxDecodedBytes What a coding may give; decoding stops there, not at the end.
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
  const coding = CODINGS.get(codings.at(-1) ?? '')
  const stream = coding && createDecompression(coding)
  if (coding === undefined || stream === undefined) return ok({ bytes, codings })
  const rest = codings.slice(0, -1)
  if (bytes.length === 0) return undoFrom({ bytes, codings: rest }, maxDecodedBytes)
  const decoded = await decompress(bytes, {
    stream,
    sliceBytes: coding.sliceBytes,
    maxDecodedBytes,
  })
  return decoded.ok ? undoFrom({ bytes: decoded.value, codings: rest }, maxDecodedBytes) : decoded
}

/** `undefined` where this runtime lacks the format, as workerd (2026-10) lacks Brotli. */
function createDecompression({ format }: Coding): Decompression['stream'] | undefined {
  try {
    // The types of the platforms disagree on formats and chunks, hence the casts.
    const stream: unknown = new DecompressionStream(format as 'gzip')
    return stream as Decompression['stream']
  } catch {
    return undefined
  }
}
