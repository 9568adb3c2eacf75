import type { HeaderField } from '../core/operation/snapshot.ts'
import { hasRetryAfter, readRetryAfter, readShouldRetry } from '../core/retry/retry-after.ts'
import type { RetryAsk } from '../core/retry/retry.ts'

/**
 * Reads what an answer says about another try with the same key. The first of these decides: the
 * problem document, `X-Should-Retry`, the status. `Retry-After` says how long to wait before it.
 *
 * @param now Epoch milliseconds.
 */
export async function readRetryAsk(response: Response, now: number): Promise<RetryAsk> {
  const headers = [...response.headers]
  const isForbidden = !(await asksForRetry(response, headers))
  return { isForbidden, minimumMs: readRetryAfter(headers, now) ?? 0 }
}

async function asksForRetry(response: Response, headers: readonly HeaderField[]): Promise<boolean> {
  // Problems of JSON-RPC calls are answered with 200.
  if (response.ok && !response.headers.has('Hapax-Error')) return false
  const said = (await readProblem(response)) ?? readShouldRetry(headers)
  return said ?? isTransient(response.status, headers)
}

/** @returns `null` if the answer is no problem document, or says nothing about another try. */
async function readProblem(response: Response): Promise<boolean | null> {
  const type = response.headers.get('Content-Type') ?? ''
  if (!type.startsWith('application/problem+json')) return null
  try {
    return sayOf(await response.clone().json())
  } catch {
    return null
  }
}

function sayOf(document: unknown): boolean | null {
  if (typeof document !== 'object' || document === null) return null
  const { retry, retryable }: { retry?: unknown; retryable?: unknown } = document
  if (retry === 'same-key' || retry === 'wait') return true
  if (retry === 'new-key' || retry === 'never') return false
  return typeof retryable === 'boolean' ? retryable : null
}

const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/** A conflict or a size may pass, but only the server knows, and then says when. */
const isTransient = (status: number, headers: readonly HeaderField[]) =>
  TRANSIENT.has(status) || ((status === 409 || status === 413) && hasRetryAfter(headers))
