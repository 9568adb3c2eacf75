import type { FunctionEnd } from '../core/function/run-function.ts'
import { StoredError, type StoredErrorForm, toStoredForm } from '../core/function/stored-error.ts'
import { claimLost, createError, type HapaxErrorFacts } from '../core/hapax-error.ts'
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
  const text = await response.text().catch(throwLost)
  if (call.end !== null) throwOwn(call.end, call.verdict)
  const outcome = call.verdict?.outcome ?? 'succeeded'
  const hasResult = outcome === 'succeeded' && !response.headers.has('Hapax-Error')
  if (!hasResult) throw toThrown(response, text, outcome)
  if (text !== '') return readJson(text)
  // Nothing was returned, or what JSON cannot hold: that only this call gets.
  return call.end?.kind === 'returned' ? call.end.result : undefined
}

/** It is stored, or on its way there, but its way here has ended. */
function throwLost(cause: unknown): never {
  const detail = 'The connection to the object was lost before the whole result was there.'
  throw createError({ code: 'store-unavailable', detail, retry: 'same-key', cause })
}

/** What the function itself has thrown for this call, unless its end does not count. */
function throwOwn(end: FunctionEnd<unknown>, verdict: MessageFacts | null): void {
  if (verdict?.work?.settle === 'refused') throw claimLost()
  if (end.kind === 'threw') throw end.error
}

function toThrown({ headers, status }: Response, text: string, outcome: Outcome): Error {
  const code = headers.get('Hapax-Error')
  const retryAfterMs = readRetryAfter([...headers], Date.now())
  if (code !== null) {
    // The problem document of the gateway has the other facts, by the same names.
    const facts = JSON.parse(text) as HapaxErrorFacts
    return createError({ ...facts, ...ownDetail(code), code, retryAfterMs })
  }
  if (outcome === 'failed') return new StoredError(toForm(readJson(text)))
  if (outcome === 'unknown') {
    return createError({ code: 'outcome-unknown', detail: UNDECIDED, retry: 'wait' })
  }
  const retryAfter = retryAfterMs === null ? {} : { retryAfter: retryAfterMs }
  return new NotExecuted(text, { status, ...retryAfter })
}

/** An operator who resolves an operation may write any text as its result. */
function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function toForm(stored: unknown): StoredErrorForm {
  const isForm = typeof stored === 'object' && stored !== null && 'message' in stored
  return toStoredForm(isForm ? stored : { message: String(stored) })
}

/** What happened, where the words of a problem would be wrong for a function. */
const DETAILS: Readonly<Record<string, string>> = {
  'key-missing': 'The input has no value, or none that can be a key, where the policy says.',
  'payload-too-large': 'The input is larger than limits.request allows.',
  'result-not-kept':
    'The function was executed, but its result cannot be returned again: JSON cannot hold it, or the key that it was sealed with is gone.',
  'snapshot-too-large':
    'The function was executed, but its result is larger than limits.response allows, so it was not stored.',
}

function ownDetail(code: string): { readonly detail?: string } {
  const detail = DETAILS[code]
  return detail === undefined ? {} : { detail }
}

const UNDECIDED = 'It is not known yet whether the function was executed.'
