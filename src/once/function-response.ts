import { type ErrorOutcomes, outcomeOfError } from '../core/function/error-outcome.ts'
import type { FunctionEnd } from '../core/function/run-function.ts'
import { toStoredForm } from '../core/function/stored-error.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'

/**
 * Writes the end of a function as the response of its route, which decides the outcome.
 *
 * @throws {NotExecuted} If nothing was executed.
 * @throws {unknown} The error of the function, if its outcome is unknown.
 */
export function toFunctionResponse(end: FunctionEnd<unknown>, outcomes?: ErrorOutcomes): Response {
  if (end.kind === 'returned') return toResultResponse(end.result)
  if (end.kind === 'undecided') return new Response(null, { status: 500 })
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
      throw error
  }
}

/** The message of an error is not for others. */
const toNotExecuted = (cause: unknown) => new NotExecuted(undefined, { cause })

/** A result that is no JSON was executed as well, but nothing of it can be stored. */
function toResultResponse(result: unknown): Response {
  const text = toJson(result)
  if (text === undefined) return new Response(null, { status: 204 })
  const headers = { 'Content-Type': 'application/json' }
  return text === null
    ? new Response('null', { headers: { ...headers, 'Idempotency-Store': 'no-store' } })
    : new Response(text, { headers })
}

/** @returns `undefined` for nothing, and `null` for what is no JSON. */
function toJson(result: unknown): string | null | undefined {
  try {
    return JSON.stringify(result)
  } catch {
    return null
  }
}
