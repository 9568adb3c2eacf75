import { parseKey, parsePlainKey } from '../core/request/key.ts'

/**
 * Writes a key as the value of a header field: as it is, if it reads as itself there, else as an
 * RFC 9651 String (§4.1.6).
 *
 * @throws {TypeError} The rule that the key breaks. The message never quotes the key.
 */
export function toKeyField(key: string): string {
  const plain = parsePlainKey(key)
  if (!plain.ok) throw new TypeError(plain.error)
  const bare = parseKey(key)
  return bare.ok && bare.value === key ? key : `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}
