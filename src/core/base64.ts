// The Worker has `Uint8Array.toBase64`, but Node 24, which runs the tests, has not.
import { decodeBase64, encodeBase64, encodeBase64Url } from 'hono/utils/encode'

/** Bytes that are encoded at once: a multiple of 3, so that the texts can be joined. */
const SLICE_BYTES = 24_576

/** Writes bytes as base64 (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  const texts: string[] = []
  // In slices: the library needs about 50 bytes of memory for each byte of one call.
  for (let at = 0; at < bytes.byteLength; at += SLICE_BYTES) {
    texts.push(encodeBase64(bytes.slice(at, at + SLICE_BYTES).buffer))
  }
  return texts.join('')
}

/** Writes bytes as base64url without padding (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  return encodeBase64Url(bytes.slice().buffer).replaceAll('=', '')
}

/**
 * Reads base64 as `atob` does: white space is skipped and padding may be missing.
 *
 * @throws {DOMException} When the text is not base64.
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return decodeBase64(text)
}
