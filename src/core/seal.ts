import { createCipheriv, hkdfSync } from 'node:crypto'

import { concat } from './bytes.ts'

const IV_BYTES = 12
const KEY_BYTES = 32

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
export function deriveSealKey(
  secret: string,
  purpose: SealPurpose,
  operationId: string,
  clientKey = '',
): Uint8Array<ArrayBuffer> {
  const info = JSON.stringify(['hapax', purpose, clientKey])
  return new Uint8Array(hkdfSync('sha256', secret, operationId, info, KEY_BYTES))
}

/**
 * Seals bytes with AES-GCM, synchronously: what is stored is what was decided on.
 *
 * @param context The sealed bytes open only with the same context.
 * @returns The initialisation vector, the sealed bytes, then the tag.
 */
export function seal(
  key: Uint8Array<ArrayBuffer>,
  context: string,
  bytes: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(encode(context))
  const sealed = [cipher.update(bytes), cipher.final()]
  return concat([iv, ...sealed, cipher.getAuthTag()])
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
  const cryptoKey = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt'])
  return new Uint8Array(await crypto.subtle.decrypt(parameters, cryptoKey, box))
}

const encode = (text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new TextEncoder().encode(text))
