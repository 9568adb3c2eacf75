import { toBase64Url } from './base64.ts'

/**
 * Names a list of parts: base64url of a SHA-256 over them, 43 characters.
 *
 * Every part goes in behind its length, so no two lists share one encoding, and the first part
 * says what is digested, so a digest made for one purpose never equals one made for another.
 */
export type Digest = (
  purpose: string,
  ...parts: readonly (string | Uint8Array)[]
) => Promise<string>

/**
 * Creates the digest function of a deployment.
 *
 * @param secret Where given, digests are HMACs with it, so that whoever reads the storage cannot
 *   try out guessed keys or payloads. A changed secret forgets every operation.
 */
export function createDigest(secret?: string): Digest {
  if (secret === undefined || secret === '') return sha256
  const key = crypto.subtle.importKey(
    'raw',
    new TextEncoder().encode(secret),
    { name: 'HMAC', hash: 'SHA-256' },
    false,
    ['sign'],
  )
  return async (...parts) =>
    toBase64Url(new Uint8Array(await crypto.subtle.sign('HMAC', await key, encodeParts(parts))))
}

const sha256: Digest = async (...parts) =>
  toBase64Url(new Uint8Array(await crypto.subtle.digest('SHA-256', encodeParts(parts))))

const LENGTH_BYTES = 4

function encodeParts(parts: readonly (string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const encoded = parts.map((part) =>
    typeof part === 'string' ? new TextEncoder().encode(part) : part,
  )
  const size = encoded.reduce((sum, part) => sum + LENGTH_BYTES + part.byteLength, 0)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const part of encoded) {
    view.setUint32(offset, part.byteLength)
    bytes.set(part, offset + LENGTH_BYTES)
    offset += LENGTH_BYTES + part.byteLength
  }
  return bytes
}

/** One digest function for each secret that a deployment has had: importing the key costs time. */
export function createDigests(): (secret: string | undefined) => Digest {
  const bySecret = new Map<string | undefined, Digest>()
  return (secret) => {
    const known = bySecret.get(secret) ?? createDigest(secret)
    bySecret.set(secret, known)
    return known
  }
}
