import { createDigest } from '../core/digest.ts'
import { parsePlainKey } from '../core/request/key.ts'

/**
 * Writes the key of work of the deployment itself as a header field of its request: a String of RFC 9651,
 * or the digest of a key that a String cannot contain.
 *
 * @param purpose Whose key it is, for the digest.
 */
export function toInnerKeyField(purpose: 'message key' | 'once key', key: string): string {
  if (!parsePlainKey(key).ok) return digest(purpose, key)
  return `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

const digest = createDigest()
