import type { Digest } from '../digest.ts'

/** The scope of a key within its tenant; without either: all operations of the gateway. */
export interface Within {
  /** Name of the consumer that alone has the operation; empty: the gateway has it. */
  readonly consumer?: string
  /** Name of an operation, or method and path, within which the key is unique; empty: the tenant. */
  readonly operation?: string
}

/**
 * The id of an operation. It is the origin's idempotency key, and is written to records, logs and URLs,
 * unlike the client's key. In the digest every part follows its length, so that no crafted key names
 * another operation.
 */
export function operationId(
  digest: Digest,
  tenant: string,
  key: string,
  { consumer = '', operation = '' }: Within = {},
): string {
  if (operation !== '') return digest('operation of a name', tenant, key, operation, consumer)
  if (consumer !== '') return digest('operation of a consumer', tenant, key, consumer)
  return digest('operation', tenant, key)
}

/** A possible id for a key. */
interface PossibleId {
  readonly id: string
  /** Name that its operation must have; `null`: any name. */
  readonly bears: string | null
}

/** The possible ids of a key whose scope is not known, the narrower first. */
export function possibleIds(
  digest: Digest,
  tenant: string,
  key: string,
  within: Within,
): PossibleId[] {
  const { consumer = '', operation = '' } = within
  const wide = operationId(digest, tenant, key, { consumer })
  if (operation === '') return [{ id: wide, bears: null }]
  const narrow = operationId(digest, tenant, key, within)
  return [
    { id: narrow, bears: null },
    { id: wide, bears: operation },
  ]
}

/** Whether a text can be the id of an operation. No object is asked for any other. */
export function isOperationId(text: string): boolean {
  return /^[\w-]{43}$/.test(text)
}
