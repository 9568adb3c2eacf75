const PRINTABLE = /^[ -~]{1,255}$/

/** A bare value has none of these. */
const QUOTED = /[ ",]/

/**
 * Writes a key as the value of a header field: as it is, if it reads as itself there, else as an
 * RFC 9651 String (§4.1.6), whose escapes are those of JSON.
 *
 * @throws {TypeError} If the key is malformed. The message does not quote it.
 */
export function toKeyField(key: string): string {
  if (PRINTABLE.test(key)) return QUOTED.test(key) ? JSON.stringify(key) : key
  throw new TypeError('A key is printable ASCII, not empty, and has at most 255 characters.')
}
