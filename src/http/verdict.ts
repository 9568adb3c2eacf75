import type { Policy } from '../config/policy.ts'
import { type Answer, NO_TIME, type Timing, type Work } from '../core/answer.ts'
import type { OriginFault, Outcome } from '../core/outcome.ts'
import { type Problem, problem, type RetryWord } from '../core/problem.ts'
import { retryAfterMs } from '../core/retry-after.ts'
import type { WireResponse } from '../core/snapshot.ts'
import type { IdempotencyStatus } from '../core/verdict.ts'

/** How a request is answered: with a response, or with a problem. */
export interface Verdict {
  readonly status: IdempotencyStatus
  readonly reply: WireResponse | Problem
  readonly outcome: Outcome | null
  readonly fence: number
  readonly timing: Timing
  /** `null` where this request called nobody. */
  readonly work: Work | null
  /** Milliseconds since the operation settled; only on a replay. */
  readonly ageMs: number
  /** Whether the store failed and provably nothing was claimed or sent. */
  readonly isUnclaimed?: true
}

/** What a verdict has where nothing else is known. */
const NOTHING = { outcome: null, fence: 0, timing: NO_TIME, work: null, ageMs: 0 } as const

/** A request that was refused before any claim. */
export function rejected(because: Problem): Verdict {
  return { ...NOTHING, status: 'rejected', reply: because }
}

/** A request that was let through as if the route were not protected. */
export const UNPROTECTED: Omit<Verdict, 'reply'> = { ...NOTHING, status: 'unprotected' }

/** A request whose deadline had passed before anything was sent. */
export function tooLate(): Verdict {
  const detail = 'The deadline of the request had passed when it came here, so nothing was sent.'
  return rejected(problem('origin-timeout', detail, { retry: 'same-key' }))
}

/** The claim could not be stored. */
export function storeFault(): Verdict {
  const verdict = storeUnavailable('The operation could not be recorded, so nothing was forwarded.')
  return { ...verdict, isUnclaimed: true }
}

/** The object could not be asked, or went away while it ran the operation. */
export function guardLost(): Verdict {
  return storeUnavailable(
    'The guard of the operation could not be reached, or was lost while it ran.',
  )
}

function storeUnavailable(what: string): Verdict {
  const detail = `${what} Send the same request with the same key: it is executed, or told what became of it.`
  const reply = problem('store-unavailable', detail, {
    retryAfterMs: retryAfterMs(0, Math.random()),
  })
  return { ...NOTHING, status: 'store-fault', reply }
}

/** Maps what the object says to what the client gets. */
export function toVerdict(answer: Answer, policy: Policy): Verdict {
  switch (answer.kind) {
    case 'executed':
      return { ...NOTHING, ...answer, status: toStatus(answer.outcome), reply: answer.response }
    case 'joined':
      return { ...NOTHING, ...answer, status: 'joined', reply: answer.response }
    case 'replayed':
      return { ...NOTHING, ...answer, status: 'replayed', reply: answer.response }
    case 'lost':
      return lost(answer, policy)
    case 'mismatch':
      return { ...NOTHING, ...answer, status: 'mismatch', reply: mismatch(policy) }
    case 'in_flight':
      return { ...NOTHING, ...answer, status: 'in-progress', reply: inProgress(answer.runningMs) }
    case 'held':
      return { ...NOTHING, ...answer, status: 'unknown', outcome: 'unknown', reply: held(policy) }
    case 'expired':
      return { ...NOTHING, ...answer, status: 'expired', reply: expired() }
    case 'too_large':
      return { ...NOTHING, ...answer, status: 'too-large', reply: snapshotTooLarge() }
    case 'rate_limited':
      return rejected(rateLimited())
    case 'circuit_open':
      return rejected(circuitOpen(answer.retryAfterMs))
    case 'store_fault':
      return storeFault()
  }
}

/** Whether a verdict's reply is a problem made here, not a response of the origin. */
export function isProblem(reply: WireResponse | Problem): reply is Problem {
  return 'slug' in reply
}

/** The word for a call that was made for this request. */
export function toStatus(outcome: Outcome): IdempotencyStatus {
  if (outcome === 'not_executed') return 'not-executed'
  return outcome === 'unknown' ? 'unknown' : 'executed'
}

function lost(answer: Extract<Answer, { kind: 'lost' }>, policy: Policy): Verdict {
  const outcome: Outcome = answer.fault === 'not-sent' ? 'not_executed' : 'unknown'
  const status = answer.work === null ? 'joined' : toStatus(outcome)
  return { ...NOTHING, ...answer, status, outcome, reply: lostProblem(answer.fault, policy) }
}

/** What the client is told whose call went out and brought no answer back. */
function lostProblem(fault: OriginFault, policy: Policy): Problem {
  const retry = retryOfUnknown(policy)
  switch (fault) {
    case 'not-sent':
      return problem(
        'origin-unreachable',
        'Nothing could be sent to the origin. Send it again with the same key.',
      )
    case 'timeout':
      return problem(
        'origin-timeout',
        `The origin was silent for ${policy.timeout} ms. ${adviceOnUnknown(policy)}`,
        { retry },
      )
    case 'lost':
      return problem(
        'outcome-unknown',
        `The connection to the origin was lost after the request may have been sent. ${adviceOnUnknown(policy)}`,
        // The client did nothing wrong: not a conflict of its own making.
        { status: 502, retry },
      )
  }
}

function retryOfUnknown(policy: Policy): RetryWord {
  return policy.unknown === 'hold' ? 'never' : 'wait'
}

function adviceOnUnknown({ unknown }: Policy): string {
  if (unknown === 'hold') {
    return 'Whether it was executed is not known, so it is held and not executed again until that is resolved.'
  }
  return unknown === 'resend'
    ? 'A retry with the same key is sent to the origin again, which knows repeats by its own key.'
    : 'The origin is asked whether it was executed: on the next retry with the same key, and by itself in between.'
}

function held(policy: Policy): Problem {
  const retry = retryOfUnknown(policy)
  const detail = adviceOnUnknown(policy)
  if (retry === 'never') return problem('outcome-unknown', detail, { retry })
  return problem('outcome-unknown', detail, { retry, retryAfterMs: retryAfterMs(0, Math.random()) })
}

function mismatch(policy: Policy): Problem {
  const detail =
    'This key was used for a request with another method, path, query, media type or body. Send a new key for a new operation.'
  return problem('key-reused', detail, { status: policy.mismatchStatus })
}

function inProgress(runningMs: number): Problem {
  const detail = `The first request with this key has been running for ${runningMs} ms. Send the same request again later to get its result.`
  return problem('in-progress', detail, { retryAfterMs: retryAfterMs(runningMs, Math.random()) })
}

function rateLimited(): Problem {
  const detail =
    'This caller has begun too many new operations. Send it again later with the same key.'
  return problem('rate-limited', detail, {
    retryAfterMs: retryAfterMs(RATE_WAIT_MS, Math.random()),
  })
}

/** The shortest period that the platform's rate limits have. */
const RATE_WAIT_MS = 10_000

function circuitOpen(waitMs: number): Problem {
  const detail = 'The origin has failed several times in a row and is left alone for a while.'
  return problem('circuit-open', detail, { retryAfterMs: retryAfterMs(waitMs, Math.random()) })
}

function expired(): Problem {
  return problem('key-expired', 'This key named an operation whose result is no longer kept.')
}

function snapshotTooLarge(): Problem {
  return problem(
    'snapshot-too-large',
    'The operation was executed once; its response was over the limit of this route and is not kept.',
  )
}
