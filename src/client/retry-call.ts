import { outcomeOfError } from '../core/function/error-outcome.ts'
import type { OncePolicy } from '../core/function/once-policy.ts'
import { StoredError } from '../core/function/stored-error.ts'
import type { RetryOptions } from '../core/retry/retry-options.ts'
import { retry } from './retry.ts'

type RetriedPolicy = Pick<OncePolicy<never, unknown>, 'outcomes' | 'retry' | 'unknown'>

/** Makes a call of a guarded function again, as its policy says. */
export type RetryCall = <output>(
  call: () => Promise<output>,
  signal: AbortSignal | undefined,
) => Promise<output>

/**
 * Reads how the calls of a guarded function are made again. A call whose outcome is unknown is made
 * again only where the policy says what the next call does about it.
 */
export function toRetryCall({ outcomes, retry: said, unknown = 'hold' }: RetriedPolicy): RetryCall {
  if (said === undefined) return (call) => call()
  // Read once: all calls share the budget.
  const options: RetryOptions = { attempts: 1, ...said }
  const retryIf = (error: unknown) => {
    if (error instanceof StoredError) return false
    const outcome = outcomeOfError(error, outcomes)
    return outcome === 'not_executed' || (outcome === 'unknown' && unknown !== 'hold')
  }
  return (call, signal) => retry(options, call, { retryIf, ...(signal && { signal }) })
}
