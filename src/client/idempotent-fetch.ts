import { createError, type HapaxError } from '../core/hapax-error.ts'
import { type IdempotentFetchOptions, type Settings, toSettings } from './fetch-options.ts'
import { followAccepted, isAccepted } from './follow-accepted.ts'
import { SAFE } from './keyed-request.ts'
import { orAborted } from './or-aborted.ts'
import { type Sending, type Sent, sendUntilFinal } from './send-until-final.ts'

/**
 * Creates a function with the signature of `fetch` that sends a request again until it has an
 * answer, always with the same `Idempotency-Key`.
 *
 * Like `fetch`, it resolves with the last response, whatever its status, and rejects if the last try
 * got none. A body is read into memory before the first try, also a stream.
 *
 * @throws {TypeError} If an option is wrong.
 * @example const send = createIdempotentFetch({ retry: { attempts: 5, deadline: '2m' } })
 */
export function createIdempotentFetch(options: IdempotentFetchOptions = {}): typeof fetch {
  const settings = toSettings(options)
  let calls = 0
  return async function idempotentFetch(input, init) {
    const request = new Request(input, init)
    const signal = signalOf(input, init) ?? new AbortController().signal
    signal.throwIfAborted()
    calls += 1
    return orAborted(send({ request, signal, call: calls }, settings), signal)
  }
}

/**
 * Which signal `fetch` obeys: `null` takes that of the request away. It is the caller's own, because in
 * Node.js that of a `Request` is deaf as soon as nobody has the `Request` any more.
 */
function signalOf(...[input, init]: Parameters<typeof fetch>): AbortSignal | null | undefined {
  if (init?.signal !== undefined) return init.signal
  return input instanceof Request ? input.signal : null
}

async function send(sending: Sending, settings: Settings): Promise<Response> {
  const sent = await sendUntilFinal(sending, settings)
  const isFollowed = settings.followAccepted === true && isAccepted(sent)
  const end = isFollowed ? await followAccepted(sent, sending, settings) : sent
  const { found, attempt } = sent
  const isInDoubt = isFollowed || attempt > 1 || found?.isResumed === true
  if (isFinal(end, isInDoubt)) await found?.forget?.()
  return conclude(end, sending.request, settings)
}

/**
 * Whether an answer tells the outcome, or that nothing was executed, so that the next call with the
 * same intent is another operation.
 *
 * @param isInDoubt Whether the operation may have been executed before. Then a refusal tells nothing:
 *   it can be about this try alone.
 */
function isFinal({ response, refusal }: Sent, isInDoubt: boolean): boolean {
  if (response === undefined) return false
  const said = response.headers.get('Idempotency-Status')
  // Hapax knows best.
  if (said === 'accepted' || said === 'unknown') return false
  if (refusal === undefined || said === 'executed' || said === 'replayed') return true
  return isFinalRefusal(refusal, response.status, isInDoubt)
}

function isFinalRefusal(
  { code, retryable }: HapaxError,
  status: number,
  isInDoubt: boolean,
): boolean {
  if (isInDoubt) return status === 402 && code === ''
  if (retryable || status >= 500) return false
  // Hapax also answers 409 about an operation that was executed, or may have been.
  return code === '' || (status >= 400 && status !== 409)
}

function conclude(end: Sent, { method }: Request, { throwProblems = false }: Settings): Response {
  const { response, refusal, error } = end
  if (response === undefined) {
    if (!throwProblems || SAFE.has(method)) throw error
    throw createError({ code: 'outcome-unknown', detail: LOST, retry: 'same-key', cause: error })
  }
  if (!throwProblems || refusal === undefined || refusal.code === '') return response
  throw refusal
}

const LOST = 'No answer came, so it is not known whether the operation was executed.'
