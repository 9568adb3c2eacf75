import { createError } from '../hapax-error.ts'
import { isJsonValue } from '../json/json-value.ts'
import type { OncePolicy } from './once-policy.ts'

/** The input of a call. */
export interface CallInput<input> {
  readonly value: input
  /** The same as JSON. */
  readonly text: string
}

/**
 * Copies an input: its caller may change it before the function runs, or tries again.
 *
 * @param name Of the function.
 * @throws {TypeError} If it is no JSON: two inputs could then look the same.
 */
export function toCallInput<input>(name: string, input: input): CallInput<input> {
  if (input === undefined) return { value: input, text: 'null' }
  if (!isJson(input)) throw new TypeError(`The input of ${name} must be JSON.`)
  const text = JSON.stringify(input)
  return { value: JSON.parse(text) as input, text }
}

function isJson(value: unknown): boolean {
  try {
    return isJsonValue(value)
  } catch {
    // It holds itself, or is too deep.
    return false
  }
}

/**
 * The tenant of a call.
 *
 * @param name Of the function.
 * @throws {HapaxError} `tenant-missing`, if the policy has a function that returns none.
 */
export function tenantOfCall<input>(
  name: string,
  tenant: Exclude<OncePolicy<input, unknown>['tenant'], undefined>,
  input: input,
): string {
  const found: unknown = typeof tenant === 'function' ? tenant(input) : tenant
  return requireText('tenant', name, found)
}

/**
 * The key of a call, by the function of its policy.
 *
 * @param name Of the function.
 * @throws {HapaxError} `key-missing`, if it returns none.
 */
export async function keyOfCall<input>(
  name: string,
  key: (input: input) => string | Promise<string>,
  input: input,
): Promise<string> {
  return requireText('key', name, await key(input))
}

function requireText(what: 'tenant' | 'key', name: string, found: unknown): string {
  // A half of a surrogate pair would be any other such half in a digest.
  if (typeof found === 'string' && found !== '' && found.isWellFormed()) return found
  const detail = `The ${what} of ${name} must be Unicode, and not empty.`
  throw createError({ code: `${what}-missing`, detail, retry: 'never' })
}
