import { NotExecuted } from '../outcome/not-executed.ts'
import type { Outcome } from '../outcome/outcome.ts'
import { toStoredForm } from './stored-error.ts'

/** What an error of a function can mean. */
export type ErrorOutcome = Exclude<Outcome, 'succeeded'>

/** Outcomes by the `name` or the `code` of an error, or a function that decides. */
export type ErrorOutcomes =
  | Readonly<Record<string, ErrorOutcome>>
  | ((error: unknown) => ErrorOutcome | undefined)

/** Whether a value is an outcome that an error can mean. */
export const isErrorOutcome = (value: unknown): value is ErrorOutcome =>
  value === 'failed' || value === 'not_executed' || value === 'unknown'

/** Errors that came out of a guarded function that another one has called. */
const passedOn = new WeakSet<object>()

/**
 * Passes on how a guarded function has ended that another one has called. If its error says that nothing
 * was executed, that is true of the inner one only: the outer one may have done other things before.
 */
export async function passOn<output>(work: Promise<output>): Promise<output> {
  return work.catch((error: unknown) => {
    if (error instanceof Error) passedOn.add(error)
    throw error
  })
}

/** The outcome of a function that threw: unknown, unless the error or the policy says more. */
export function outcomeOfError(error: unknown, outcomes: ErrorOutcomes = {}): ErrorOutcome {
  if (isOwnNotExecuted(error)) return 'not_executed'
  const said = typeof outcomes === 'function' ? outcomes(error) : namedOutcome(error, outcomes)
  return isErrorOutcome(said) ? said : 'unknown'
}

function isOwnNotExecuted(error: unknown): boolean {
  // Another copy of the package has another class.
  const isIt = error instanceof NotExecuted || toStoredForm(error).name === 'NotExecuted'
  return isIt && !passedOn.has(error as object)
}

function namedOutcome(error: unknown, outcomes: Readonly<Record<string, ErrorOutcome>>) {
  const { name, code } = toStoredForm(error)
  const said = [String(code), name].find((word) => Object.hasOwn(outcomes, word))
  return said === undefined ? undefined : outcomes[said]
}
