import { type StoredErrorForm, toStoredForm } from '../core/function/stored-error.ts'
import { findValue } from '../core/json/spans.ts'
import type { Problem, ProblemSlug } from '../core/response/problem.ts'
import { isProblem, type Verdict } from '../http/verdict.ts'

/**
 * Writes the response of a claim that was not granted, because the operation has ended. A problem stays
 * as it is.
 *
 * @param response What the operation has left: its result, or the error with which it has failed.
 */
export async function settledAnswer(
  response: Response,
  { reply, outcome, fence, status }: Verdict,
  operationId: string,
): Promise<Response> {
  if (isProblem(reply)) return response
  const left = await response.text()
  const known = { operationId, attempt: fence, replayed: status === 'replayed' }
  const answer =
    outcome === 'failed'
      ? JSON.stringify({ state: 'failed', ...known, error: toErrorForm(left) })
      : withResult({ state: 'succeeded', ...known }, left)
  const headers = new Headers(response.headers)
  headers.delete('Content-Length')
  headers.set('Content-Type', 'application/json')
  headers.set('Cache-Control', 'no-store')
  return new Response(answer, { status: 200, headers })
}

/** Adds the result as it is stored, so that numbers keep all digits. */
function withResult(known: object, left: string): string {
  const head = JSON.stringify(known)
  return left === '' ? head : `${head.slice(0, -1)},"result":${isJson(left) ? left : quote(left)}}`
}

/** An operator can have set any text as the result. */
const isJson = (text: string) => findValue(text, []) !== null
const quote = (text: string) => JSON.stringify(text)

function toErrorForm(left: string): StoredErrorForm {
  const stored: unknown = isJson(left) ? JSON.parse(left) : null
  const isForm = typeof stored === 'object' && stored !== null && 'message' in stored
  return toStoredForm(isForm ? stored : { message: left })
}

/** What happened, where the words of a route would be wrong. */
const DETAILS: Partial<Record<ProblemSlug, string>> = {
  'key-missing': 'The input has no value, or none that can be a key, where the claim says.',
  'result-not-kept':
    'The operation was executed, but its result was too large, no JSON or omitted, so it cannot be returned again.',
}

/** Words a problem of a claim. */
export const toClaimProblem = (problem: Problem): Problem => ({
  ...problem,
  detail: DETAILS[problem.slug] ?? problem.detail,
})
