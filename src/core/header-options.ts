import { type SecretRef, toSecretRef } from './event/secret.ts'
import { err, ok, type Result } from './result.ts'

/** Headers of an option: texts, and references to secrets. */
export type HeaderOptions = Readonly<Record<string, string | SecretRef>>

/** No receiver accepts more headers, or longer ones. */
const MAX_HEADERS = 20
const MAX_HEADER_LENGTH = 1_024

/**
 * Reads the headers of an option. They get a fixed order.
 *
 * @param faultOfName Says why a header cannot have this name, or `null`.
 * @returns `undefined` if there are none, or a text for people that quotes no value.
 */
export function toHeaderOptions(
  value: unknown = {},
  faultOfName: (name: string) => string | null,
): Result<HeaderOptions | undefined, string> {
  // A Headers or a Map has no members: what is in it would be left out without a word.
  const isObject = Object.prototype.toString.call(value) === '[object Object]'
  const entries = Object.entries(Object(value) as Record<string, unknown>)
  if (!isObject || entries.length > MAX_HEADERS) return err(HEADERS)
  const names = new Set(entries.map(([name]) => name.toLowerCase()))
  if (names.size < entries.length) return err('headers: must name each header once, in any case')
  const read: [string, string | SecretRef][] = []
  for (const [name, of] of entries.toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    const fault = isHeaderName(name) ? faultOfName(name) : 'headers: must be names of headers'
    if (fault !== null) return err(fault)
    const field = toHeader(name, of)
    if (!field.ok) return field
    read.push([name, field.value])
  }
  return ok(read.length === 0 ? undefined : Object.fromEntries(read))
}

/** Whether a text can be the name of a header. */
export const isHeaderName = (name: string): boolean => /^[\w!#$%&'*+.^`|~-]{1,128}$/.test(name)

const HEADERS = `headers: must be an object of ${MAX_HEADERS} names at most, with texts or secret('NAME')`

function toHeader(name: string, value: unknown): Result<string | SecretRef, string> {
  const ref = toSecretRef(value)
  if (ref !== null) return ok(ref)
  if (!isHeaderValue(value)) {
    return err(`headers: ${name} must be a text of visible ASCII, or secret('NAME')`)
  }
  return isCredential(name, value)
    ? err(
        `headers: ${name} would be stored in clear; put it into a secret and write secret('NAME')`,
      )
    : ok(value)
}

const isHeaderValue = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length <= MAX_HEADER_LENGTH &&
  /^[!-~](?:[ -~]*[!-~])?$/.test(value)

/** Whether a header looks like a credential, by its name or its value. */
function isCredential(name: string, value: string): boolean {
  return CREDENTIAL_NAME.test(name) || CREDENTIAL_VALUE.test(value)
}

const CREDENTIAL_NAME =
  /authorization|cookie|secret|passw(?:or)?d|passphrase|credential|(?:token|auth|jwt)$|(?:^|[-_.]|api|access|auth|signing)key$/i
const CREDENTIAL_VALUE =
  /^(?:bearer|basic|token|apikey)\s|^(?:whsec|(?:sk|rk)_(?:live|test)|gh[opsu])_|^xox[abprs]-|^eyJ[\w-]+\.[\w-]+\./i
