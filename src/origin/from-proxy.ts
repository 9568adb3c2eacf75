import { collectBody, type CollectedBody, concat } from '../core/body.ts'
import { isProxyReply } from '../core/proxy-reply.ts'
import type { AnswerHead } from '../core/reply.ts'

/** How much of a body is looked at. */
const EXCERPT_BYTES = 16_384

/**
 * Whether a proxy on the way has made an answer and not the origin. Asked only of the one status
 * that a proxy's error shares with an origin that is away.
 */
export async function isFromProxy(
  { status, headers }: Pick<AnswerHead, 'status' | 'headers'>,
  body: CollectedBody,
): Promise<boolean> {
  if (status !== 503) return false
  const [, encoding = 'identity'] = headers.find(([name]) => name === 'content-encoding') ?? []
  const bytes = body.kind === 'whole' ? body.bytes : concat(body.head)
  const text = await decode(bytes.slice(0, EXCERPT_BYTES), encoding.trim().toLowerCase())
  return isProxyReply(headers, new TextDecoder().decode(text))
}

/** What the platform can decompress. */
const FORMATS: ReadonlyMap<string, 'gzip' | 'deflate'> = new Map([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
])

/** @returns Nothing where the encoding cannot be undone here. */
async function decode(bytes: Uint8Array<ArrayBuffer>, encoding: string): Promise<Uint8Array> {
  if (encoding === 'identity') return bytes
  const format = FORMATS.get(encoding)
  if (format === undefined) return new Uint8Array()
  try {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format))
    const decoded = await collectBody(stream, EXCERPT_BYTES)
    return decoded.kind === 'whole' ? decoded.bytes : concat(decoded.head)
  } catch {
    return new Uint8Array()
  }
}
