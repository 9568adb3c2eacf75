import { NotExecuted } from '../outcome/not-executed.ts'
import type { Outcome } from '../outcome/outcome.ts'
import { toStoredForm } from './stored-error.ts'

/** What an error of a function can mean. */
export type ErrorOutcome = Exclude<Outcome, 'succeeded'>

/** Outcomes by the `name` or the `code` of an error, or a function that decides. */
export type ErrorOutcomes =
  | Readonly<Record<string, ErrorOutcome>>
  | ((error: unknown) => ErrorOutcome | undefined)

/** The outcome of a function that threw: unknown, unless the error or the policy says more. */
export function outcomeOfError(error: unknown, outcomes: ErrorOutcomes = {}): ErrorOutcome {
  const { name, code } = toStoredForm(error)
  // Another copy of the package has another class.
  if (error instanceof NotExecuted || name === 'NotExecuted') return 'not_executed'
  if (typeof outcomes === 'function') return outcomes(error) ?? 'unknown'
  const said = [String(code), name].find((word) => Object.hasOwn(outcomes, word))
  return (said === undefined ? undefined : outcomes[said]) ?? 'unknown'
}
