/** Arguments of one call: far below what overflows the stack, enough to make the calls not count. */
const CHUNK_BYTES = 8192

/**
 * Turns bytes into a string with one character (U+0000 to U+00FF) for each byte.
 *
 * Nothing is lost, unlike with UTF-8, which replaces what is malformed, and with `TextDecoder`'s
 * "latin1", which is windows-1252.
 */
export function toBinaryString(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + CHUNK_BYTES))
  }
  return text
}

/** Reads the bytes of such a string as UTF-8. */
export function toUtf8Text(binary: string): string {
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)))
}

// Marked, so that a bundle without `parseUtf8` does not have it.
const utf8 = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Reads UTF-8 and keeps a byte order mark; `null` if the bytes are malformed. */
export function parseUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes)
  } catch {
    return null
  }
}

/** Puts pieces together. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return bytes
}

/** Length of what `lengthOf` writes. */
export const LENGTH_BYTES = 4

/** Writes a length as bytes, to stand before the piece that it measures. */
export function lengthOf({ byteLength }: { readonly byteLength: number }): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(byteLength >> 24, byteLength >> 16, byteLength >> 8, byteLength)
}
