import { concat } from './bytes.ts'

const IV_BYTES = 12
const KEY_BITS = 256

/** What a key is for. A key for one purpose opens nothing sealed for another. */
export type SealPurpose = 'stored request' | 'snapshot' | 'places' | 'event' | 'dead letter'

/** A key for one operation, and the id of its secret. */
export interface SealKey {
  readonly id: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

/**
 * Derives a key from the deployment's secret by HKDF-SHA-256, for one purpose and one operation.
 *
 * @param clientKey The client's idempotency key, which is stored nowhere. If it is part of the key,
 *   only secret and client's key together open the seal.
 */
export async function deriveSealKey(
  secret: string,
  purpose: SealPurpose,
  operationId: string,
  clientKey = '',
): Promise<Uint8Array<ArrayBuffer>> {
  const base = await crypto.subtle.importKey('raw', encode(secret), 'HKDF', false, ['deriveBits'])
  const info = encode(JSON.stringify(['hapax', purpose, clientKey]))
  const parameters = { name: 'HKDF', hash: 'SHA-256', salt: encode(operationId), info }
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, base, KEY_BITS))
}

/**
 * Seals bytes with AES-GCM.
 *
 * @param context The sealed bytes open only with the same context.
 * @returns The initialisation vector, then the sealed bytes.
 */
export async function seal(
  key: Uint8Array<ArrayBuffer>,
  context: string,
  bytes: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const parameters = { name: 'AES-GCM', iv, additionalData: encode(context) }
  const sealed = await crypto.subtle.encrypt(parameters, await toCryptoKey(key), bytes)
  return concat([iv, new Uint8Array(sealed)])
}

/** Opens sealed bytes. @throws {Error} If key or context is another one, or the bytes were changed. */
export async function unseal(
  key: Uint8Array<ArrayBuffer>,
  context: string,
  sealed: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = sealed.slice(0, IV_BYTES)
  const parameters = { name: 'AES-GCM', iv, additionalData: encode(context) }
  const box = sealed.slice(IV_BYTES)
  return new Uint8Array(await crypto.subtle.decrypt(parameters, await toCryptoKey(key), box))
}

function toCryptoKey(key: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt'])
}

const encode = (text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new TextEncoder().encode(text))
