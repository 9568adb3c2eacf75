import { createDigest } from '../core/digest.ts'
import { type FingerprintRules, readBody } from '../core/fingerprint/fingerprint.ts'
import { createError } from '../core/hapax-error.ts'
import { toInnerKeyField } from '../http/inner-key-field.ts'

/** A call of a guarded function, as it is before its key is known. */
export interface OnceCall {
  /** Name of the operation. */
  readonly name: string
  /** JSON text of the input. */
  readonly input: string
  /** `null`: the policy reads it from the input. */
  readonly key: string | null
  /** Of the guarded function that calls this one, or `null`. */
  readonly correlationId: string | null
}

const INSIDE = 'https://once.hapax.internal'

/** Creates the HTTP request of a call, for the route of its function. */
export function toOnceRequest({ name, input, key, correlationId }: OnceCall): Request {
  const headers = new Headers({ 'Content-Type': 'application/json' })
  if (key !== null) headers.set('Idempotency-Key', toInnerKeyField('once key', key))
  if (correlationId !== null) headers.set('X-Correlation-Id', correlationId)
  // The prefix keeps a name such as `..` from being a segment of its own.
  const url = `${INSIDE}/once:${encodeURIComponent(name)}`
  return new Request(url, { method: 'POST', headers, body: input })
}

/**
 * The key of a call whose whole input is its business key.
 *
 * @param input JSON text.
 * @param rules What of the input does not count, as for the fingerprint.
 * @throws {HapaxError} `payload-invalid`, if the input cannot be compared.
 */
export async function toWholeKey(
  input: string,
  rules: Pick<FingerprintRules, 'ignore' | 'dates'>,
): Promise<string> {
  const bytes = new TextEncoder().encode(input)
  const read = await readBody(bytes, JSON_HEADERS, rules, bytes.byteLength)
  if (!read.ok) {
    const detail = 'The input cannot be compared with another one.'
    throw createError({ code: 'payload-invalid', detail, retry: 'never' })
  }
  return digest('whole input', read.value.canonical.content)
}

const digest = createDigest()

const JSON_HEADERS = new Headers({ 'Content-Type': 'application/json' })
