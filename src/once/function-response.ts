import { type ErrorOutcomes, outcomeOfError } from '../core/function/error-outcome.ts'
import { toResultText } from '../core/function/result-text.ts'
import type { FunctionEnd } from '../core/function/run-function.ts'
import { toStoredForm } from '../core/function/stored-error.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import { isAnswer } from '../http/report-error.ts'

/**
 * Writes the end of a function as the response of its route, which decides the outcome.
 *
 * @throws {NotExecuted} If nothing was executed.
 * @throws {unknown} The error of the function, if its outcome is unknown.
 */
export function toFunctionResponse(end: FunctionEnd<unknown>, outcomes?: ErrorOutcomes): Response {
  if (end.kind === 'returned') return toResultResponse(end.result)
  // The function itself did not run, which leaves the doubt about the earlier execution.
  if (end.kind === 'undecided') throw new NotExecuted()
  const { error } = end
  switch (outcomeOfError(error, outcomes)) {
    case 'failed':
      return Response.json(toStoredForm(error), {
        status: 500,
        headers: { 'Idempotency-Outcome': 'executed' },
      })
    case 'not_executed':
      throw error instanceof NotExecuted ? error : toNotExecuted(error)
    case 'unknown':
      throw isAnswer(error) ? toUnanswered(error) : error
  }
}

/** An error that answers the request of a route says nothing of the outcome of a function. */
const toUnanswered = (cause: unknown) => new Error('The function threw an answer.', { cause })

/** The message of an error is not for others. */
const toNotExecuted = (cause: unknown) => new NotExecuted(undefined, { cause })

/** A result that JSON cannot hold was executed as well, but nothing of it can be stored. */
function toResultResponse(result: unknown): Response {
  const text = toResultText(result)
  if (text === '') return new Response(null, { status: 204 })
  return text === null
    ? new Response(null, { status: 204, headers: { 'Idempotency-Store': 'no-store' } })
    : new Response(text, { headers: { 'Content-Type': 'application/json' } })
}
