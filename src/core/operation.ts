import type { Digest } from './digest.ts'

/** What of a tenant's operations a key is told apart within; of neither: all of the gateway's. */
export interface Within {
  /** Name of the consumer whose operation it is alone; empty: it is one of the gateway. */
  readonly consumer?: string
  /** What the key counts within: name of an operation, or method and path; empty: the tenant. */
  readonly operation?: string
}

/**
 * Names an operation: the one thing that must happen once for this tenant and this key.
 *
 * The id goes to the origin as its idempotency key and into records, logs and URLs; the key
 * itself goes nowhere. Every part is length-prefixed in the digest, so that no crafted one names
 * another's operation.
 */
export function operationId(
  digest: Digest,
  tenant: string,
  key: string,
  { consumer = '', operation = '' }: Within = {},
): Promise<string> {
  if (operation !== '') return digest('operation of a name', tenant, key, operation, consumer)
  if (consumer !== '') return digest('operation of a consumer', tenant, key, consumer)
  return digest('operation', tenant, key)
}

/** An id that a key may have. */
interface PossibleId {
  readonly id: string
  /** Name that its operation must bear to be the one that is meant; `null`: whatever it bears. */
  readonly bears: string | null
}

/** The ids that a key may have where it is not known within what it counts, the narrower first. */
export async function possibleIds(
  digest: Digest,
  tenant: string,
  key: string,
  within: Within,
): Promise<PossibleId[]> {
  const { consumer = '', operation = '' } = within
  const wide = await operationId(digest, tenant, key, { consumer })
  if (operation === '') return [{ id: wide, bears: null }]
  const narrow = await operationId(digest, tenant, key, within)
  return [
    { id: narrow, bears: null },
    { id: wide, bears: operation },
  ]
}

/** Whether a text can be the id of an operation, which is a digest; no object is asked for any other. */
export function isOperationId(text: string): boolean {
  return /^[\w-]{43}$/.test(text)
}
