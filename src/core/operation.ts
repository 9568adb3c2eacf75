import type { Digest } from './digest.ts'

/**
 * Names an operation: the one thing that must happen once for this tenant and this key.
 *
 * The id goes to the origin as its idempotency key and into records, logs and URLs; the key
 * itself goes nowhere. Tenant and key are length-prefixed in the digest, so that no crafted pair
 * names another pair's operation.
 *
 * @param consumer Name of the consumer whose operation it is alone; empty: it is one of the gateway.
 */
export function operationId(
  digest: Digest,
  tenant: string,
  key: string,
  consumer = '',
): Promise<string> {
  if (consumer === '') return digest('operation', tenant, key)
  return digest('operation of a consumer', tenant, key, consumer)
}

/** Whether a text can be the id of an operation, which is a digest; no object is asked for any other. */
export function isOperationId(text: string): boolean {
  return /^[\w-]{43}$/.test(text)
}
