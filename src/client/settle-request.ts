import {
  type ErrorOutcome,
  type ErrorOutcomes,
  outcomeOfError,
} from '../core/function/error-outcome.ts'
import { toResultText } from '../core/function/result-text.ts'
import type { FunctionEnd } from '../core/function/run-function.ts'
import { toStoredForm } from '../core/function/stored-error.ts'

/** A result that is no JSON, or too large, was executed as well. */
export const OMITTED = { outcome: 'succeeded', omitted: true }

/** Characters of a result that is sent. A gateway keeps no more bytes. */
const MAX_LENGTH = 8_388_608

/** Writes the end of a function for the gateway. */
export function toSettleRequest(end: FunctionEnd<unknown>, outcomes?: ErrorOutcomes): object {
  // The function itself did not run, which leaves the doubt about the earlier execution.
  if (end.kind === 'undecided') return { outcome: 'not_executed' }
  if (end.kind === 'threw') {
    const outcome = outcomeOf(end.error, outcomes)
    return outcome === 'failed' ? { outcome, error: toStoredForm(end.error) } : { outcome }
  }
  const { result } = end
  const text = toResultText(result)
  return text !== null && text.length <= MAX_LENGTH ? { outcome: 'succeeded', result } : OMITTED
}

/** A policy that throws has said nothing. */
function outcomeOf(error: unknown, outcomes?: ErrorOutcomes): ErrorOutcome {
  try {
    return outcomeOfError(error, outcomes)
  } catch {
    return 'unknown'
  }
}

/** What JSON makes of a result, for its first caller as for every other one. */
export function asJson(result: unknown): unknown {
  const text = toResultText(result)
  // What JSON cannot hold, only this call gets.
  return text ? JSON.parse(text) : result
}
