import type { HapaxError } from '../core/hapax-error.ts'
import { readOuterRetry } from '../core/retry/outer-retry.ts'
import { boundRetry, decideRetry, type RetryBounds } from '../core/retry/retry.ts'
import { SharedBudget } from '../core/retry/shared-budget.ts'
import type { Occasion } from './client-event.ts'
import type { Settings } from './fetch-options.ts'
import { type KeyedRequest, readKeyed } from './keyed-request.ts'
import { orAborted } from './or-aborted.ts'
import { readRefusal } from './read-problem.ts'
import { readWhole } from './whole-answer.ts'

/** What is sent. */
export interface Sending {
  readonly request: Request
  readonly signal: AbortSignal
  /** Number of the call that it belongs to. */
  readonly call: number
}

/** How the last try ended. */
export interface Sent extends TryEnd, Pick<KeyedRequest, 'headers' | 'found'> {
  readonly attempt: number
  /** Epoch milliseconds after which no try begins. */
  readonly deadlineAt: number
}

/** How a try ended. */
interface TryEnd {
  /** The answer, unless none came. */
  readonly response?: Response
  /** What the answer says, if it is no success. */
  readonly refusal?: HapaxError
  /** Why no answer came. */
  readonly error?: unknown
  /** The problem or the status of the answer, or why none came. */
  readonly reason: string
}

/**
 * Sends a request until an answer is final, or attempts, deadline or budget are used up.
 *
 * @throws The reason of the signal.
 */
export async function sendUntilFinal(
  { request, signal, call }: Sending,
  settings: Settings,
): Promise<Sent> {
  const { policy, budgets, now, sleep, tell } = settings
  const { method, url } = request
  const { origin } = new URL(url)
  const outer = readOuterRetry(request.headers)
  const bounds = boundRetry(policy, outer, now())
  const { toTry, ...keyed } = await readKeyed(request, bounds.deadlineAt, settings)
  const budget = budgets.get(origin) ?? new SharedBudget(policy.budget)
  budgets.set(origin, budget)
  budget.noteCall(now())
  for (let count = 1; ; count++) {
    const attempt = outer.attempt + count - 1
    const at = { call, method, origin, attempt }
    // oxlint-disable-next-line no-await-in-loop -- one try after the other
    const end = await tryOnce(at, toTry, signal, settings)
    const decided = decideNext(count, end, bounds, settings)
    const next = typeof decided === 'string' || budget.takeRetry(now()) ? decided : 'budget'
    if (typeof next === 'string') {
      if (next !== 'final') tell({ ...at, type: 'give-up', reason: next })
      return { ...end, ...keyed, attempt, deadlineAt: bounds.deadlineAt }
    }
    tell({ ...at, type: 'retry', delayMs: next, reason: end.reason })
    discard(end.response)
    // oxlint-disable-next-line no-await-in-loop -- the pause between two tries
    await sleep(next, signal)
  }
}

/** @returns Milliseconds until the next try, or why there is none. */
function decideNext(
  attempt: number,
  { response, refusal }: TryEnd,
  bounds: RetryBounds,
  { policy, now, random }: Settings,
) {
  if (response !== undefined && refusal?.retryable !== true) return 'final'
  const ask = { minimumMs: refusal?.retryAfterMs ?? 0 }
  const facts = { attempt, outcome: 'unknown', ask, now: now(), random: random() } as const
  const decision = decideRetry(policy, bounds, facts)
  if (decision.kind === 'retry') return decision.delayMs
  return decision.because === 'attempts' ? 'attempts' : 'deadline'
}

async function tryOnce(
  at: Occasion,
  toTry: KeyedRequest['toTry'],
  signal: AbortSignal,
  settings: Settings,
): Promise<TryEnd> {
  const { tell, timeoutMs } = settings
  signal.throwIfAborted()
  tell({ ...at, type: 'try' })
  const tooLate = new AbortController()
  const giveUp = () => tooLate.abort(new DOMException('No answer came in time.', 'TimeoutError'))
  const timer = setTimeout(giveUp, timeoutMs)
  const either = AbortSignal.any([signal, tooLate.signal])
  try {
    const end = await orAborted(readAnswer(toTry(at.attempt, either), either, settings), either)
    tell({ ...at, type: 'answer', ...end.facts })
    return end
  } catch (error) {
    const whyNone = tooLate.signal.aborted ? 'timeout' : 'network'
    const reason = signal.aborted ? 'aborted' : whyNone
    tell({ ...at, type: 'lost', reason })
    signal.throwIfAborted()
    return { reason, error }
  } finally {
    clearTimeout(timer)
  }
}

async function readAnswer(request: Request, signal: AbortSignal, { fetch, now, store }: Settings) {
  const begun = await fetch(request, { signal })
  // The key is forgotten after an answer. Without the rest of it, only the key leads to the result.
  const response = store ? await readWhole(begun) : begun
  const { ok, status, headers } = response
  const problem = headers.get('Hapax-Error')
  const facts = { status, problem, correlationId: headers.get('X-Correlation-Id') }
  // Problems of JSON-RPC calls are answered with 200.
  const refusal = ok && problem === null ? {} : { refusal: await readRefusal(response, now()) }
  return { response, reason: problem ?? String(status), facts, ...refusal }
}

/** Frees the connection of an answer that nobody reads. */
export function discard(response?: Response): void {
  // Where another package makes the answers, a body can be of another kind.
  const body: Partial<ReadableStream> | null | undefined = response?.body
  body?.cancel?.().catch(() => {})
}
