/** Letters of this size or more are compressed, because a row holds 2 MB and some values take twenty times their size in the message. */
const PLAIN_BYTES = 1_000_000

/** How gzip begins (RFC 1952 §2.3.1), which no text written by `writeClone` does. */
const GZIP = [0x1f, 0x8b]

/** Encodes the text of a letter so that it fits into a row. */
export async function toLetterBytes(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(new TextEncoder().encode(text))
  return bytes.byteLength < PLAIN_BYTES ? bytes : through(bytes, new CompressionStream('gzip'))
}

/** Decodes the bytes of `toLetterBytes`. @throws {Error} If compressed bytes are damaged. */
export async function readLetterBytes(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const isPlain = GZIP.some((byte, at) => bytes[at] !== byte)
  const plain = isPlain ? bytes : await through(bytes, new DecompressionStream('gzip'))
  return new TextDecoder().decode(plain)
}

async function through(
  bytes: Uint8Array<ArrayBuffer>,
  transform: CompressionStream | DecompressionStream,
): Promise<Uint8Array<ArrayBuffer>> {
  const body = new Blob([bytes]).stream().pipeThrough(transform)
  return new Uint8Array(await new Response(body).arrayBuffer())
}
