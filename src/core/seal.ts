const IV_BYTES = 12
const PURPOSE = new TextEncoder().encode('hapax: stored request')

/**
 * Seals bytes for one operation: AES-GCM under a key that HKDF-SHA-256 makes of the secret and the
 * operation's id, which is also bound to it as additional data.
 *
 * @returns The initialisation vector, then the sealed bytes.
 */
export async function seal(
  secret: string,
  operationId: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const sealed = await crypto.subtle.encrypt(
    { name: 'AES-GCM', iv, additionalData: encode(operationId) },
    await deriveKey(secret, operationId),
    bytes,
  )
  const whole = new Uint8Array(IV_BYTES + sealed.byteLength)
  whole.set(iv)
  whole.set(new Uint8Array(sealed), IV_BYTES)
  return whole
}

/**
 * Opens what `seal` has sealed.
 *
 * @throws {Error} When the secret is another one, or the bytes were changed.
 */
export async function unseal(
  secret: string,
  operationId: string,
  sealed: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const opened = await crypto.subtle.decrypt(
    { name: 'AES-GCM', iv: sealed.slice(0, IV_BYTES), additionalData: encode(operationId) },
    await deriveKey(secret, operationId),
    sealed.slice(IV_BYTES),
  )
  return new Uint8Array(opened)
}

async function deriveKey(secret: string, operationId: string): Promise<CryptoKey> {
  const base = await crypto.subtle.importKey('raw', encode(secret), 'HKDF', false, ['deriveKey'])
  return crypto.subtle.deriveKey(
    { name: 'HKDF', hash: 'SHA-256', salt: encode(operationId), info: PURPOSE },
    base,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

const encode = (text: string): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new TextEncoder().encode(text))
