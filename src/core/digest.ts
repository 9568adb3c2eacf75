import { toBase64Url } from './base64.ts'
import { concat, lengthOf } from './bytes.ts'

/**
 * Names a list of parts: base64url of a SHA-256 over them, 43 characters. Every part follows its
 * length, so no two lists share one encoding. Digests for different purposes never meet.
 */
export type Digest = (
  purpose: string,
  ...parts: readonly (string | Uint8Array)[]
) => Promise<string>

/**
 * Creates the digest function of a deployment.
 *
 * @param secret If given, digests are HMACs with it, so that nobody who reads the storage can try
 *   out guessed keys or payloads. With another secret, no earlier operation is found.
 */
export function createDigest(secret?: string): Digest {
  if (secret === undefined || secret === '') return sha256
  const bytes = new TextEncoder().encode(secret)
  const parameters = { name: 'HMAC', hash: 'SHA-256' }
  const key = crypto.subtle.importKey('raw', bytes, parameters, false, ['sign'])
  return async (...parts) =>
    toBase64Url(new Uint8Array(await crypto.subtle.sign('HMAC', await key, encodeParts(parts))))
}

const sha256: Digest = async (...parts) =>
  toBase64Url(new Uint8Array(await crypto.subtle.digest('SHA-256', encodeParts(parts))))

function encodeParts(parts: readonly (string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const encoder = new TextEncoder()
  const encoded = parts.map((part) => (typeof part === 'string' ? encoder.encode(part) : part))
  return concat(encoded.flatMap((part) => [lengthOf(part), part]))
}

/** Keeps one digest function for each secret, since importing the key costs time. */
export function createDigests(): (secret: string | undefined) => Digest {
  const bySecret = new Map<string | undefined, Digest>()
  return (secret) => {
    const known = bySecret.get(secret) ?? createDigest(secret)
    bySecret.set(secret, known)
    return known
  }
}
