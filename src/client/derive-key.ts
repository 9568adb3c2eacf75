import { concat, lengthOf, toBinaryString } from '../core/bytes.ts'

/**
 * Derives a key from parts that identify an operation: base64url of a SHA-256 over them, 43
 * characters. It is the digest of `createDigest` without a secret, by Web Crypto, which browsers have.
 */
export async function deriveKey(purpose: string, ...parts: readonly string[]): Promise<string> {
  const encoder = new TextEncoder()
  const encoded = [purpose, ...parts].map((part) => encoder.encode(part))
  const framed = concat(encoded.flatMap((part) => [lengthOf(part), part]))
  const digest = await crypto.subtle.digest('SHA-256', framed)
  const base64 = btoa(toBinaryString(new Uint8Array(digest)))
  return base64.replaceAll('+', '-').replaceAll('/', '_').replace('=', '')
}
