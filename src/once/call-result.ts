import type { FunctionEnd } from '../core/function/run-function.ts'
import { StoredError, type StoredErrorForm } from '../core/function/stored-error.ts'
import { claimLost, createError, toError } from '../core/hapax-error.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import type { Outcome } from '../core/outcome/outcome.ts'
import { readRetryAfter } from '../core/retry/retry-after.ts'

/** What is known of a call when it has ended. */
export interface CallEnd {
  /** How the function has ended, if it ran for this call. */
  readonly end: FunctionEnd<unknown> | null
  readonly verdict: MessageFacts | null
}

/** The result of a call. @throws What the function has thrown, now or before, or why there is no result. */
export async function toResult(response: Response, call: CallEnd): Promise<unknown> {
  if (call.end !== null) throwOwn(call.end, call.verdict)
  const outcome = call.verdict?.outcome ?? 'succeeded'
  const hasResult = outcome === 'succeeded' && !response.headers.has('Hapax-Error')
  if (!hasResult) throw await toThrown(response, outcome)
  return response.status === 204 ? undefined : response.json()
}

/** What the function itself has thrown for this call, unless its end does not count. */
function throwOwn(end: FunctionEnd<unknown>, verdict: MessageFacts | null): void {
  if (verdict?.work?.settle === 'refused') throw claimLost()
  if (end.kind === 'threw') throw end.error
}

async function toThrown(response: Response, outcome: Outcome): Promise<Error> {
  const { headers, status } = response
  const code = headers.get('Hapax-Error')
  const retryAfterMs = readRetryAfter([...headers], Date.now())
  if (code !== null) return toError(code, await response.json(), retryAfterMs)
  if (outcome === 'failed') return new StoredError(await response.json<StoredErrorForm>())
  if (outcome === 'unknown') {
    return createError({ code: 'outcome-unknown', detail: UNDECIDED, retry: 'wait' })
  }
  const retryAfter = retryAfterMs === null ? {} : { retryAfter: retryAfterMs }
  return new NotExecuted(await response.text(), { status, ...retryAfter })
}

const UNDECIDED = 'It is not known yet whether the function was executed.'
