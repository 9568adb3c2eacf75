import { type HapaxError, isHapaxError, type KeyReusedError } from '../core/hapax-error.ts'
import { isNotExecuted } from '../core/outcome/not-executed.ts'
import { readRetryAfter } from '../core/retry/retry-after.ts'

/** How a call of a tool ended, as far as that is known: the facts of the note for the model. */
export type CallEnd =
  /** Executed by this call. */
  | { readonly kind: 'executed' }
  /** This is the result of an earlier call, or of one that was still running. */
  | { readonly kind: 'repeated'; readonly ageMs: number | null; readonly isJoined: boolean }
  /** The API answered with an error that is final. */
  | { readonly kind: 'failed'; readonly status: number; readonly isRepeat: boolean }
  /** The same call still runs. */
  | { readonly kind: 'running'; readonly retryAfterMs: number | null }
  /** Nobody knows whether it was executed. `isHeld`: another call does not help either. */
  | {
      readonly kind: 'unknown'
      readonly isHeld: boolean
      readonly status: number | null
      readonly retryAfterMs: number | null
      readonly correlationId: string | null
    }
  /** The key belongs to another request of this tool. */
  | { readonly kind: 'key-reused'; readonly pointers: readonly string[] }
  /** It has ended, and its result is no longer stored. */
  | { readonly kind: 'expired' }
  /** It was executed, and its result cannot be returned again. */
  | { readonly kind: 'not-kept' }
  /** Nothing was executed, and the key is free. */
  | { readonly kind: 'not-executed'; readonly retryAfterMs: number | null }
  /** Another call executes it, or gets its result. */
  | { readonly kind: 'no-result'; readonly retryAfterMs: number | null }
  /** The gateway has let it through without protection, as its policy allows. */
  | { readonly kind: 'unprotected' }
  /** Nothing was executed, and the same call is rejected again. */
  | { readonly kind: 'rejected'; readonly because: string }
  /** Nothing was said about it: no request was made with the `fetch` of the call, or by another API. */
  | { readonly kind: 'unreported' }

/** No answer arrived. */
export const LOST: CallEnd = unknownEnd(null)

function unknownEnd(status: number | null): CallEnd {
  return { kind: 'unknown', isHeld: false, status, retryAfterMs: null, correlationId: null }
}

/**
 * Reads from an answer how the call ended. Answers with `Hapax-Error` have an error of their own.
 *
 * @param now Epoch milliseconds.
 */
export function readCallEnd({ status, headers }: Response, now: number): CallEnd {
  const word = headers.get('Idempotency-Status') ?? ''
  const isJoined = word === 'joined'
  const isRepeat = isJoined || headers.get('Idempotent-Replayed') === 'true'
  const isEnd = isRepeat || word === 'executed'
  if (isEnd && status >= 400) return { kind: 'failed', status, isRepeat }
  if (isRepeat) return { kind: 'repeated', ageMs: readAgeMs(headers), isJoined }
  const retryAfterMs = readRetryAfter([...headers], now)
  switch (word) {
    case 'executed':
      return { kind: 'executed' }
    case 'accepted':
      return { kind: 'running', retryAfterMs }
    case 'not-executed':
      return { kind: 'not-executed', retryAfterMs }
    case 'unknown':
      return unknownEnd(status)
    case 'unprotected':
      return { kind: 'unprotected' }
    default:
      return status >= 500 ? unknownEnd(status) : { kind: 'unreported' }
  }
}

function readAgeMs(headers: Headers): number | null {
  const age = headers.get('Age') ?? ''
  return /^\d{1,9}$/.test(age) ? Number(age) * 1_000 : null
}

/**
 * Reads from an error how the call ended.
 *
 * @param answered What the last answer said, or `null` where there was none.
 */
export function toCallEnd(error: unknown, answered: CallEnd | null): CallEnd {
  if (isHapaxError(error)) return endOf(error)
  if (isNotExecuted(error)) return { kind: 'not-executed', retryAfterMs: error.retryAfterMs }
  return answered ?? { kind: 'unreported' }
}

function endOf(error: HapaxError): CallEnd {
  const { code, retryable, retryAfterMs, correlationId } = error
  switch (code) {
    case 'key-reused':
      return { kind: 'key-reused', pointers: (error as KeyReusedError).pointers }
    case 'in-progress':
      return { kind: 'running', retryAfterMs }
    case 'outcome-unknown':
    case 'origin-timeout':
      return { kind: 'unknown', isHeld: !retryable, status: null, retryAfterMs, correlationId }
    case 'key-expired':
      return { kind: 'expired' }
    case 'result-not-kept':
    case 'snapshot-too-large':
      return { kind: 'not-kept' }
    case 'origin-unreachable':
    case 'circuit-open':
    case 'rate-limited':
      return { kind: 'not-executed', retryAfterMs }
    case 'claim-lost':
      return { kind: 'no-result', retryAfterMs }
    default:
      return retryable
        ? { kind: 'no-result', retryAfterMs }
        : { kind: 'rejected', because: error.message }
  }
}
