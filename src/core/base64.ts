import { Buffer } from 'node:buffer'

import { decodeBase64 } from 'hono/utils/encode'

/** Writes bytes as base64 (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64')
}

/** Writes bytes as base64url without padding (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64url')
}

/** The same bytes, not a copy. */
const bufferOf = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  Buffer.from(buffer, byteOffset, byteLength)

/**
 * Reads base64 as `atob` does: white space is skipped and padding may be missing.
 *
 * @throws {DOMException} When the text is not base64.
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return decodeBase64(text)
}
