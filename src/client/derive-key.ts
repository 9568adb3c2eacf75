import { lengthOf } from '../core/bytes.ts'

/**
 * Derives a key from parts that identify an operation: base64url of a SHA-256 over them, 43
 * characters. It is the digest of `createDigest` without a secret, by Web Crypto, which browsers have.
 *
 * @param parts The purpose first, so that keys for different purposes never meet.
 */
export async function deriveKey(...parts: readonly (string | ArrayBuffer)[]): Promise<string> {
  const encoder = new TextEncoder()
  const framed = parts.flatMap((part) => {
    const bytes = typeof part === 'string' ? encoder.encode(part) : part
    return [lengthOf(bytes), bytes]
  })
  const digest = await crypto.subtle.digest('SHA-256', await new Blob(framed).arrayBuffer())
  const base64 = btoa(String.fromCharCode(...new Uint8Array(digest)))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace('=', '')
}
