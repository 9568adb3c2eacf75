import type { SecretRef } from '../core/event/secret.ts'
import { err, ok, type Result } from '../core/result.ts'
import { type HapaxEnv, textOf } from './env.ts'

/** Reads the value of a header. @returns An error that names the secret, and never holds its value. */
export function fillHeader(env: HapaxEnv, value: string | SecretRef): Result<string, string> {
  if (typeof value === 'string') return ok(value)
  const { secret: name, scheme } = value
  const filled = textOf(env, name)
  if (filled === null) return err(`there is no secret ${name}`)
  const text = scheme === undefined ? filled : `${scheme} ${filled}`
  return /^[\t -~]+$/.test(text) ? ok(text) : err(`${name} cannot be the value of a header`)
}
