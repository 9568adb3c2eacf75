import { toCallInput } from '../core/function/call-input.ts'
import { passOn } from '../core/function/error-outcome.ts'
import type { OnceContext } from '../core/function/once-context.ts'
import type { OncePolicy } from '../core/function/once-policy.ts'
import { toRetryPolicy } from '../core/retry/retry-options.ts'
import { findOuter } from './ambient.ts'
import { callOnce } from './call-once.ts'
import type { ClaimsEnv } from './claims.ts'
import { orAborted } from './or-aborted.ts'
import { toRetryCall } from './retry-call.ts'

/** Options of one call of a guarded function. */
export interface OnceOptions {
  /** Ends the wait for the result. The function goes on. */
  readonly signal?: AbortSignal
}

/**
 * A guarded function. Its first argument says where the gateway is (`process.env` can), or is the
 * context of another guarded function that calls it.
 */
export type Once<input, output> = (
  env: ClaimsEnv | OnceContext,
  input: input,
  options?: OnceOptions,
) => Promise<output>

/**
 * Guards a function that has a side effect: it runs once for each key, whichever process calls it, and
 * a repeat returns the stored result. The ledger is that of a gateway, which has the secret
 * `HAPAX_CLAIMS_TOKEN`.
 *
 * The result is stored as JSON, and every caller gets it as JSON returns it. If the function throws
 * `NotExecuted`, the key is free again; after any other error the outcome is unknown, unless
 * `outcomes` says more. A guarded function that calls another one has other keys than a direct call.
 *
 * @param name Name of the operation in records and metrics. A key is unique within it.
 * @throws {TypeError} If `retry` is wrong. The gateway checks the other fields with each call.
 * @example
 * const issueRefund = once('refund', { key: business('/order') }, (input: Refund, { key }) =>
 *   payments.refund(input, { idempotencyKey: key }))
 * await issueRefund(process.env, { order: 'o_17', amount: 500 })
 */
export function once<input, output>(
  name: string,
  policy: OncePolicy<input, output> & { readonly result?: undefined },
  fn: (input: input, context: OnceContext) => output | Promise<output>,
): Once<input, output>
/** With a schema, the result is what that makes of it. */
export function once<input, stored, output>(
  name: string,
  policy: OncePolicy<input, stored, output>,
  fn: (input: input, context: OnceContext) => stored | Promise<stored>,
): Once<input, output>
export function once<input, stored, output>(
  name: string,
  policy: OncePolicy<input, stored, output>,
  fn: (input: input, context: OnceContext) => stored | Promise<stored>,
): Once<input, output> {
  toRetryPolicy(policy.retry)
  const retryCall = toRetryCall(policy)
  return async function callGuarded(env, input, { signal } = {}) {
    signal?.throwIfAborted()
    const own = toCallInput(name, input)
    const work = retryCall(() => callOnce({ name, policy, fn }, env, own), signal)
    const passed = findOuter(env).outer === undefined ? work : passOn(work)
    return signal === undefined ? passed : orAborted(passed, signal)
  }
}
