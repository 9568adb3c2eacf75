import type { Duration } from '../duration.ts'
import type { OnceContext } from './once-context.ts'

/** What a probe has found. Nothing: it is not known yet. */
export type Found<output> =
  | { readonly executed: true; readonly result: output }
  | { readonly executed: false }
  | null
  | undefined

/** Finds out whether an earlier call of the function was executed, for example by asking the provider for the key. */
export type ProbeFunction<input, output> = (
  input: input,
  context: OnceContext,
) => Found<output> | Promise<Found<output>>

/** Asks before a function is executed again after an unknown outcome. Made by `probe`. */
export interface FunctionProbe<input, output> {
  readonly kind: 'probe'
  readonly find: ProbeFunction<input, output>
  readonly grace?: Duration
}

/**
 * Policy of `once` for an unknown outcome: the next call asks first, and runs the function only if
 * it was not executed.
 *
 * @param options `grace`: how long after the last execution of unknown outcome `{ executed: false }`
 *   does not count, because what it has sent may still arrive. Default: `'30s'`.
 * @example once('refund', { unknown: probe((_, { key }) => findRefund(key)) }, issueRefund)
 */
export function probe<input, output>(
  find: ProbeFunction<input, output>,
  options: { readonly grace?: Duration } = {},
): FunctionProbe<input, output> {
  return { kind: 'probe', find, ...options }
}

/** Default of `grace`, in milliseconds. */
export const GRACE_MS = 30_000
