import { deriveKey } from './derive-key.ts'

/**
 * Derives the key of a business operation: the same parts have the same key in every process, also
 * after a restart. It reveals none of them.
 *
 * @param tenant For whom the operation is done.
 * @param operation What is done, such as `pay`.
 * @param parts What tells it from other operations of this name, such as the id of an order.
 * @returns 43 characters.
 * @example await businessKey('acme', 'pay', order.id)
 */
export function businessKey(
  tenant: string,
  operation: string,
  ...parts: readonly string[]
): Promise<string> {
  return deriveKey('business:v1', tenant, operation, ...parts)
}
