import { parseDuration } from '../duration.ts'
import type { OnceContext } from './once-context.ts'
import type { OncePolicy } from './once-policy.ts'
import { type Found, GRACE_MS } from './probe-function.ts'

/** How a function has ended. `undecided`: a probe could not tell whether it was executed, or threw `error`. */
export type FunctionEnd<output> =
  | { readonly kind: 'returned'; readonly result: output }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'undecided'; readonly error?: unknown }

/** A function that is guarded, and its policy. */
export interface Guarded<input, stored, output = stored> {
  readonly policy: OncePolicy<input, stored, output>
  readonly fn: (input: input, context: OnceContext) => stored | Promise<stored>
}

/** Runs a function for a claim. After an unknown outcome it asks first, if the policy has a probe. */
export async function runFunction<input, stored>(
  { policy: { unknown }, fn }: Guarded<input, stored, unknown>,
  input: input,
  context: OnceContext,
): Promise<FunctionEnd<stored>> {
  try {
    if (typeof unknown === 'object' && context.inDoubtMs !== null) {
      const found = await unknown.find(input, context)
      if (found?.executed === true) return { kind: 'returned', result: found.result }
      if (isUndecided(found, context.inDoubtMs, unknown.grace)) return { kind: 'undecided' }
    }
  } catch (error) {
    // A probe that fails has found nothing.
    return { kind: 'undecided', error }
  }
  try {
    return { kind: 'returned', result: await fn(input, context) }
  } catch (error) {
    return { kind: 'threw', error }
  }
}

const isUndecided = (found: Found<unknown>, inDoubtMs: number, grace: unknown) =>
  found?.executed !== false || inDoubtMs < (parseDuration(grace) ?? GRACE_MS)
