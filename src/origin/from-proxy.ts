import { concat } from '../core/bytes.ts'
import { isProxyReply } from '../core/outcome/proxy-reply.ts'
import type { AnswerHead } from '../core/outcome/reply.ts'
import type { CollectedBody } from '../core/wire/body.ts'
import { parseCodings } from '../core/wire/content-coding.ts'
import { decodeBytes } from '../platform/decode-body.ts'

/** How much of a body is looked at. */
const EXCERPT_BYTES = 16_384

/**
 * Whether a proxy may have made an answer instead of the origin. Only 503 is checked: proxies and
 * origins both use it. A body that cannot be read may be a proxy's.
 */
export async function isFromProxy(
  { status, headers }: Pick<AnswerHead, 'status' | 'headers'>,
  body: CollectedBody,
): Promise<boolean> {
  if (status !== 503) return false
  const encoding = headers.flatMap(([name, value]) => (name === 'content-encoding' ? [value] : []))
  const excerpt = await decode(bytesOf(body), encoding.join())
  return excerpt === null || isProxyReply(headers, new TextDecoder().decode(excerpt))
}

/** @returns The beginning of the decoded body, or `null` where it cannot be decoded. */
async function decode(
  bytes: Uint8Array<ArrayBuffer>,
  contentEncoding: string,
): Promise<Uint8Array | null> {
  if (parseCodings(contentEncoding).length === 0) return bytes.subarray(0, EXCERPT_BYTES)
  const decoded = await decodeBytes(bytes, contentEncoding, EXCERPT_BYTES)
  return decoded && bytesOf(decoded)
}

function bytesOf(body: CollectedBody): Uint8Array<ArrayBuffer> {
  return body.kind === 'whole' ? body.bytes : concat(body.head)
}
