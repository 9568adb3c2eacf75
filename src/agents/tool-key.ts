import { deriveKey } from '../client/derive-key.ts'
import { toCanonicalValue } from '../core/fingerprint/canonical-value.ts'

/** What the model wants to be done: calls with the same intent have the same key. */
export interface Intent {
  /** Id of the agent's run. */
  readonly runId: unknown
  /** Name of the tool. */
  readonly name: string
  /** Arguments of the call. */
  readonly input: unknown
  /** How often it is wanted on purpose, from 1. */
  readonly ordinal: number
}

/**
 * Derives the idempotency key of an intent.
 *
 * @throws {TypeError} If there is no run id, the arguments are no JSON, or the ordinal is not a whole
 *   number from 1.
 */
export async function toToolKey({ runId, name, input, ordinal }: Intent): Promise<string> {
  if (typeof runId !== 'string' || runId === '') {
    throw new TypeError(
      `The tool "${name}" needs the id of the agent's run. Set the option runId to a text, or to a function that returns one: the same when the run is resumed, and another one for every other run.`,
    )
  }
  if (!isOrdinal(ordinal)) {
    throw new TypeError('The ordinal of a call must be a whole number from 1.')
  }
  const canonical = input === undefined ? '' : toCanonicalValue(input)
  if (canonical === null) throw new TypeError(`The arguments of the tool "${name}" must be JSON.`)
  return deriveKey('tool:v1', runId, name, canonical, String(ordinal))
}

/** Whether a value counts how often something is wanted. */
export function isOrdinal(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 1
}
