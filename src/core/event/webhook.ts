import { fromBase64, toBase64 } from '../base64.ts'

const PREFIX = 'whsec_'

/**
 * Signs a webhook as the Standard Webhooks specification says (symmetric, `v1`).
 *
 * @param secrets Each `whsec_` and Base64; while one is replaced by another, both sign.
 * @param sentAt Epoch milliseconds of this delivery.
 * @returns The headers that the receiver verifies.
 * @throws {Error} When a secret is not written so.
 */
export async function signWebhook(
  secrets: readonly string[],
  id: string,
  sentAt: number,
  body: string,
): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(sentAt / 1_000))
  const content = new TextEncoder().encode(`${id}.${timestamp}.${body}`)
  const signatures = await Promise.all(
    secrets.map(async (secret) => {
      const key = await importSecret(secret)
      const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, content))
      return `v1,${toBase64(signature)}`
    }),
  )
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
}

/** Whether a secret is written as `signWebhook` needs it. */
export function isWebhookSecret(secret: string): boolean {
  try {
    return toBytes(secret).byteLength > 0
  } catch {
    return false
  }
}

function importSecret(secret: string) {
  const parameters = { name: 'HMAC', hash: 'SHA-256' }
  return crypto.subtle.importKey('raw', toBytes(secret), parameters, false, ['sign'])
}

function toBytes(secret: string): Uint8Array<ArrayBuffer> {
  try {
    if (!secret.startsWith(PREFIX)) throw new Error('no prefix')
    const bytes = fromBase64(secret.slice(PREFIX.length))
    if (bytes.byteLength < MIN_SECRET_BYTES) throw new Error('too short')
    return bytes
  } catch {
    throw new Error(
      `A webhook secret must be ${PREFIX} and at least ${MIN_SECRET_BYTES} bytes in Base64.`,
    )
  }
}

/** The specification asks for 24 to 64. */
const MIN_SECRET_BYTES = 24
