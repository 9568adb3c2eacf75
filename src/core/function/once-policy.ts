import type { Duration } from '../duration.ts'
import type { SourceIn } from '../request/key-source.ts'
import type { RetryOptions } from '../retry/retry-options.ts'
import type { ErrorOutcomes } from './error-outcome.ts'
import type { FunctionProbe } from './probe-function.ts'
import type { ResultSchema } from './result-schema.ts'

/** The policy of a function, wherever it runs. Every field is optional. */
export interface OncePolicy<input, stored, output = stored> {
  /**
   * The key of the operation, within the name and the tenant: `business(...pointers)` derives it from
   * values of the input, `body(pointer)` reads it there, and a function returns it. Default: the whole
   * input is the key, so that no two calls with the same input are executed.
   */
  readonly key?:
    | SourceIn<'business'>
    | SourceIn<'body'>
    | ((input: input) => string | Promise<string>)
  /** The party within which the key is unique. Default: `'deployment'`. */
  readonly tenant?: string | ((input: input) => string)
  /** How long the result is remembered, from its end. Default: `'24h'`. */
  readonly retention?: Duration
  /** How long after that a late repeat is refused. Default: 0. */
  readonly tombstone?: Duration
  /** How long a call waits for the same one that runs already. Default: `'10s'`. */
  readonly wait?: Duration
  /** How long a claim stands without renewal; it is renewed after every third of it. Default: `'60s'`. */
  readonly lease?: Duration
  /** JSON pointers (RFC 6901) to values of the input that do not count, or are compared as instants. */
  readonly fingerprint?: { readonly ignore?: string[]; readonly dates?: string[] }
  /** What the next call does after an unknown outcome. Default: `'hold'`. */
  readonly unknown?: 'hold' | 'resend' | FunctionProbe<input, stored>
  /** What errors of the function mean. Default: unknown, and `NotExecuted` that nothing was executed. */
  readonly outcomes?: ErrorOutcomes
  /** Checks the result on its way out, of the first call as well. */
  readonly result?: ResultSchema<output>
  /** When the call itself tries again: after `NotExecuted` and errors that are `retryable`. Default: one attempt. */
  readonly retry?: RetryOptions
}

/** Default of `tenant`. */
export const DEPLOYMENT = 'deployment'
