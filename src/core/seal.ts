const IV_BYTES = 12
const KEY_BITS = 256

/** What a key is made for; a key made for one purpose opens nothing of another. */
export type SealPurpose = 'stored request' | 'snapshot' | 'places' | 'event' | 'dead letter'

/** A key for one operation, and which secret it was made of. */
export interface SealKey {
  readonly id: string
  readonly bytes: Uint8Array<ArrayBuffer>
}

/**
 * Makes a key by HKDF-SHA-256 of the deployment's secret, for one purpose and one operation.
 *
 * @param clientKey The client's idempotency key, which is stored nowhere: without it and the
 *   secret both, what is sealed for it cannot be read.
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
 * @param context Bound to the sealed bytes, which open only in the same one.
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
  const whole = new Uint8Array(IV_BYTES + sealed.byteLength)
  whole.set(iv)
  whole.set(new Uint8Array(sealed), IV_BYTES)
  return whole
}

/**
 * Opens what `seal` has sealed.
 *
 * @throws {Error} When key or context is another one, or the bytes were changed.
 */
export async function unseal(
  key: Uint8Array<ArrayBuffer>,
  context: string,
  sealed: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = sealed.slice(0, IV_BYTES)
  const parameters = { name: 'AES-GCM', iv, additionalData: encode(context) }
  const opened = await crypto.subtle.decrypt(
    parameters,
    await toCryptoKey(key),
    sealed.slice(IV_BYTES),
  )
  return new Uint8Array(opened)
}

function toCryptoKey(key: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt'])
}

const encode = (text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new TextEncoder().encode(text))
