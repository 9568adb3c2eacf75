import { createError, type HapaxError } from '../core/hapax-error.ts'
import { type RetryWord, WHAT_TO_DO } from '../core/response/retry-word.ts'
import { readRetryAfter, readShouldRetry } from '../core/retry/retry-after.ts'

/**
 * Reads the problem that Hapax answered with, in every form that it can have. The body of the response
 * remains unread.
 *
 * @returns `null` for every other response.
 */
export async function readProblem(response: Response): Promise<HapaxError | null> {
  return response.headers.has('Hapax-Error') ? readRefusal(response, Date.now()) : null
}

/**
 * Reads what an answer that is no success says about another try with the same key. The first of these
 * decides: the problem document, `X-Should-Retry`, the status.
 *
 * @param now Epoch milliseconds.
 * @returns The problem of Hapax, or one without a code.
 */
export async function readRefusal(response: Response, now: number): Promise<HapaxError> {
  const { headers, status } = response
  const code = headers.get('Hapax-Error') ?? ''
  const fields = [...headers]
  const retryAfterMs = readRetryAfter(fields, now)
  const said = await readDocument(response, code)
  const { error, retryable = readShouldRetry(fields), retry } = said
  return createError({
    detail: error?.message ?? code,
    correlationId: headers.get('X-Correlation-Id'),
    ...said,
    code,
    retryAfterMs,
    retry: isWord(retry)
      ? retry
      : toWord(code, retryable ?? isTransient(status, retryAfterMs), retryAfterMs),
  })
}

/** Words of the future are not known here. */
const isWord = (retry: RetryWord | undefined): retry is RetryWord =>
  Object.hasOwn(WHAT_TO_DO, String(retry))

/** The word of a problem whose document does not say it. */
function toWord(code: string, isRetryable: boolean, retryAfterMs: number | null): RetryWord {
  if (isRetryable) return retryAfterMs === null ? 'same-key' : 'wait'
  return code === 'key-reused' || code === 'key-expired' ? 'new-key' : 'never'
}

/** What is read of a problem document. */
interface ProblemDocument {
  readonly detail?: string
  readonly retry?: RetryWord
  readonly retryable?: boolean
  readonly correlationId?: string
  readonly pointers?: readonly string[]
  /** In JSON-RPC, it has the document as its data. As Stripe writes errors, there is only a message. */
  readonly error?: { readonly data?: ProblemDocument; readonly message?: string }
}

/** @returns No member, where there is no such document. */
async function readDocument(response: Response, code: string): Promise<ProblemDocument> {
  const type = response.headers.get('Content-Type') ?? ''
  if (code === '' && !type.startsWith('application/problem+json')) return {}
  try {
    const body = Object(await response.clone().json()) as ProblemDocument
    return body.error?.data ?? body
  } catch {
    return {}
  }
}

const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/** A conflict or a size may pass, but only the server knows, and then says when. */
const isTransient = (status: number, retryAfterMs: number | null) =>
  TRANSIENT.has(status) || (retryAfterMs !== null && (status === 409 || status === 413))
