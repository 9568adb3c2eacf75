import type { Policy } from '../config/policy.ts'
import { type Answer, NO_TIME, type Timing, type Work } from '../core/answer.ts'
import type { Differences } from '../core/differences.ts'
import { toSharedHeaders, toSnapshotHeaders } from '../core/headers.ts'
import type { IdempotencyStatus } from '../core/idempotency-status.ts'
import { describeSources } from '../core/key-source.ts'
import type { OperationView } from '../core/operation-view.ts'
import type { OriginFault, Outcome } from '../core/outcome.ts'
import { type Problem, problem, type RetryWord } from '../core/problem.ts'
import type { Carrier, UnknownReason } from '../core/record.ts'
import type { Recovery } from '../core/recovery.ts'
import { retryAfterMs } from '../core/retry-after.ts'
import type { WireResponse } from '../core/snapshot.ts'
import type { Identity } from './gateway-env.ts'
import { BodyLost } from './kept-body.ts'

/** How a request is answered: with a response, or with a problem. */
export interface Verdict {
  readonly status: IdempotencyStatus
  readonly reply: WireResponse | Problem
  readonly outcome: Outcome | null
  readonly fence: number
  readonly timing: Timing
  /** `null` where this request called nobody. */
  readonly work: Work | null
  /** On a replay, milliseconds since the operation settled; for how long it has been unknown, where it is. */
  readonly ageMs: number
  /** For how many milliseconds from now the operation is remembered, where it has come to its end. */
  readonly rememberedMs?: number
  /** Of a key that has expired: whether it named another request. */
  readonly isOther?: boolean
  /** The message that made the claim which is under way, where it was one. */
  readonly carrier?: Carrier
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

/** A request without a key, where the route asks for one. */
export function keyMissing(policy: Policy): Problem {
  const detail = `This operation is only accepted with a key: ${describeSources(policy.key)}.`
  return problem('key-missing', detail)
}

/**
 * A request that does not say whose it is, says it by credentials that no tenant can be made of, or
 * by some that nobody can verify for now.
 */
export function tenantMissing(identity: Exclude<Identity, { kind: 'known' }>): Problem {
  if (identity.kind === 'unverified') return unverified()
  const detail =
    identity.kind === 'refused'
      ? identity.detail
      : 'The request does not say whose it is. Send credentials.'
  return problem('tenant-missing', detail)
}

function unverified(): Problem {
  const detail =
    'The credentials could not be verified for now. Nothing was forwarded: send the same request with the same key.'
  return problem('tenant-missing', detail, {
    status: 503,
    retry: 'same-key',
    retryAfterMs: retryAfterMs(0, Math.random()),
  })
}

/** A request whose deadline had passed before anything was sent. */
function tooLate(): Verdict {
  const detail = 'The deadline of the request had passed when it came here, so nothing was sent.'
  return rejected(problem('origin-timeout', detail, { retry: 'same-key' }))
}

/** The deployment lacks something, or code of the deployer's failed before anything was recorded. */
export function misconfigured(error: unknown): Verdict {
  const detail = error instanceof BodyLost ? error.message : IN_THE_LOG
  return rejected(problem('gateway-misconfigured', detail))
}

const IN_THE_LOG =
  'The operator finds the reason in the log of the gateway, under the correlation id.'

/**
 * A request that was let through without protection, and whose answer was lost.
 *
 * @param because `timeout`, `lost`, or the status of an answer that cannot be passed on.
 */
export function unprotectedLost(because: 'timeout' | 'lost' | number): Verdict {
  const isTimeout = because === 'timeout'
  const slug = isTimeout ? 'origin-timeout' : 'outcome-unknown'
  const what =
    typeof because === 'number'
      ? `The answer has status ${because}, which cannot be passed on.`
      : 'The answer of the origin was lost.'
  const detail = `${what} This request was not protected: whether it was executed is not known.`
  return {
    ...NOTHING,
    status: 'unprotected',
    reply: problem(slug, detail, { status: isTimeout ? 504 : 502 }),
  }
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
      return { ...NOTHING, ...answer, status: 'joined', reply: toKept(answer, policy) }
    case 'replayed':
      return { ...NOTHING, ...answer, status: 'replayed', reply: toKept(answer, policy) }
    case 'lost':
      return lost(answer, policy)
    case 'mismatch':
      return { ...NOTHING, fence: answer.fence, status: 'mismatch', reply: mismatch(policy, null) }
    case 'in_flight':
      return { ...NOTHING, ...answer, status: 'in-progress', reply: inProgress(answer.runningMs) }
    case 'held':
      return { ...NOTHING, ...answer, status: 'unknown', outcome: 'unknown', reply: held(answer) }
    case 'expired':
      return { ...NOTHING, ...answer, status: 'expired', reply: expired() }
    case 'too_large':
      return answer.omittedFor === undefined
        ? { ...NOTHING, ...answer, status: 'too-large', reply: snapshotTooLarge() }
        : { ...NOTHING, ...answer, status: 'not-kept', reply: notKept() }
    case 'refused':
      return { ...NOTHING, fence: answer.fence, status: 'rejected', reply: answer.response }
    case 'unasked':
      return { ...rejected(unasked()), fence: answer.fence }
    case 'sealed':
      return { ...NOTHING, ...answer, status: 'sealed', reply: sealed() }
    case 'accepted':
      return { ...NOTHING, fence: answer.fence, status: 'accepted', reply: accepted(answer.view) }
    case 'too_late':
      return tooLate()
    case 'rate_limited':
      return rejected(rateLimited())
    case 'circuit_open':
      return rejected(circuitOpen(answer.retryAfterMs))
    case 'store_fault':
      return storeFault()
  }
}

/** What a route lets others have of an answer by now: less, where its policy became stricter since. */
function toKept(
  { response, outcome }: Extract<Answer, { kind: 'joined' | 'replayed' }>,
  { snapshot }: Policy,
): WireResponse {
  const isEnd = outcome === 'succeeded' || outcome === 'failed'
  const toHeaders = isEnd ? toSnapshotHeaders : toSharedHeaders
  return { ...response, headers: toHeaders(response.headers, snapshot) }
}

/** Whether a verdict's reply is a problem made here, not a response of the origin. */
export function isProblem(reply: WireResponse | Problem): reply is Problem {
  return 'slug' in reply
}

/** Whether a request is answered with what another request has made. */
export function isOfAnother(status: IdempotencyStatus): boolean {
  return status === 'replayed' || status === 'joined'
}

/** The word for a call that was made for this request. */
export function toStatus(outcome: Outcome | null): IdempotencyStatus {
  if (outcome === 'not_executed') return 'not-executed'
  return outcome === 'unknown' ? 'unknown' : 'executed'
}

type Lost = Extract<Answer, { kind: 'lost' }>

function lost(answer: Lost, policy: Policy): Verdict {
  const { outcome } = answer
  const status = answer.work === null ? 'joined' : toStatus(outcome)
  const reply =
    outcome === 'not_executed' ? notExecutedProblem(answer) : lostProblem(answer, policy)
  return { ...NOTHING, ...answer, status, reply }
}

/** What the client is told whose call brought no answer back, though nothing was executed. */
function notExecutedProblem({ fault, originStatus }: Lost): Problem {
  const what = notExecutedWords(fault, originStatus)
  return problem('origin-unreachable', `${what} Send it again with the same key.`)
}

function notExecutedWords(fault: OriginFault, originStatus: number | null): string {
  if (originStatus === null) return 'Nothing could be sent to the origin.'
  return fault === 'bad-status'
    ? `The origin answered with status ${originStatus}, which cannot be passed on, and said that nothing was executed.`
    : 'The origin said that nothing was executed, and the rest of its answer was lost.'
}

/** What the client is told whose call went out and brought no answer back that it could be given. */
function lostProblem({ fault, originStatus }: Lost, policy: Policy): Problem {
  const unknown = unknownPolicyOf(policy)
  if (fault === 'timeout') {
    const detail = `The origin was silent for ${policy.timeout} ms. ${ADVICE[unknown]}`
    return problem('origin-timeout', detail, whatNext(unknown))
  }
  // The client did nothing wrong: not a conflict of its own making.
  return problem('outcome-unknown', `${lostWords(fault, originStatus)} ${ADVICE[unknown]}`, {
    status: 502,
    ...whatNext(unknown),
  })
}

function lostWords(fault: Exclude<OriginFault, 'timeout'>, originStatus: number | null): string {
  switch (fault) {
    case 'bad-status':
      return `The origin answered with status ${originStatus}, which cannot be passed on or kept.`
    case 'not-sent':
      return 'Nothing could be sent now, but an earlier call may have been executed.'
    case 'lost':
      return 'The connection to the origin was lost after the request may have been sent.'
  }
}

/**
 * Whether a retry is of use where the outcome is unknown, and when.
 *
 * @param until Epoch milliseconds before which it can resolve nothing, or `null`.
 */
function whatNext(
  policy: UnknownPolicy,
  until: number | null = null,
): { retry: RetryWord; retryAfterMs?: number } {
  if (policy === 'hold') return { retry: 'never' }
  const waitMs = retryAfterMs(0, Math.random())
  const graceMs = until === null ? 0 : Math.max(0, until - Date.now())
  // Whole seconds are sent, and the nearest one may be too early.
  return { retry: 'wait', retryAfterMs: graceMs === 0 ? waitMs : ceilToSecond(graceMs + waitMs) }
}

const ceilToSecond = (ms: number) => Math.ceil(ms / 1_000) * 1_000

type UnknownPolicy = Recovery['kind']

function unknownPolicyOf({ unknown }: Policy): UnknownPolicy {
  return typeof unknown === 'object' ? unknown.kind : unknown
}

const ADVICE: Record<UnknownPolicy, string> = {
  hold: 'Whether it was executed is not known, so it is held and not executed again until the operator of this API, or a status resource that it is given, tells what became of it.',
  probe:
    'The origin is asked whether it was executed: on the next retry with the same key, and by itself in between.',
  resend:
    'A retry with the same key is sent to the origin again, which knows repeats by its own key.',
}

const REASONS: Record<UnknownReason, string> = {
  'origin-answered': 'The origin answered with a status that leaves it open.',
  'origin-timeout': 'The origin did not answer in time.',
  'connection-lost': 'The connection to the origin was lost.',
  'owner-lost': 'The call was lost when the gateway restarted.',
  'handler-threw': 'The code that handled it failed.',
}

function held({ reason, policy, until = null }: Extract<Answer, { kind: 'held' }>): Problem {
  const grace = until === null ? '' : ` ${TOO_EARLY}`
  const detail = `${REASONS[reason]}${grace} ${ADVICE[policy]}`
  return problem('outcome-unknown', detail, whatNext(policy, until))
}

/** The origin knows nothing of the operation, and that does not count yet. */
const TOO_EARLY =
  'The origin does not know of it, but the request may still arrive there, so that this does not count before Retry-After is over.'

/** How soon a client that comes back for a result should do so, in seconds. */
const COME_BACK_SECONDS = 1

function accepted(view: OperationView): WireResponse {
  return {
    status: 202,
    headers: [
      ['content-type', 'application/json'],
      ['location', operationPath(view.id)],
      ['preference-applied', 'respond-async'],
      ['retry-after', String(COME_BACK_SECONDS)],
    ],
    body: new TextEncoder().encode(JSON.stringify(view)),
  }
}

/** Path at which an operation can be asked for. */
export const operationPath = (operationId: string): string => `/_hapax/operations/${operationId}`

/** A key that was used for another request. */
export function mismatch(policy: Policy, differences: Differences | null): Problem {
  const where = differences === null ? '' : ` ${describeDifferences(differences)}`
  const detail = `This key was used for another request.${where} Send a new key for a new operation.`
  return problem('key-reused', detail, { status: policy.mismatchStatus, differences })
}

/** Names that a sentence holds. */
const MAX_NAMED = 5

function describeDifferences({ parts, pointers, queryPointers }: Differences): string {
  const names = [...pointers, ...queryPointers.map((pointer) => `query ${pointer}`)]
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : ''
  const at = names.length === 0 ? '' : `, at ${names.slice(0, MAX_NAMED).join(', ')}${more}`
  return `They differ in ${parts.join(', ')}${at}.`
}

function inProgress(runningMs: number): Problem {
  const detail = `The first request with this key has been running for ${runningMs} ms. Send the same request again later to get its result.`
  return problem('in-progress', detail, { retryAfterMs: retryAfterMs(runningMs, Math.random()) })
}

/** The call that this request has joined cannot go on before the first client has answered. */
export function askedOfAnother(): Problem {
  const detail =
    'The server has asked the client that sent the first request with this key for more. Send the same request again later to get the result.'
  return problem('in-progress', detail, { retryAfterMs: retryAfterMs(0, Math.random()) })
}

/** A call that has waited for another one of its operation, whose answer holds no response to it. */
export function unanswered(): Problem {
  const detail =
    'The answer to the first request with this key holds no response to it. Whether it was executed is not known: send the same request again later to learn what became of it.'
  return problem('outcome-unknown', detail, {
    retry: 'wait',
    retryAfterMs: retryAfterMs(0, Math.random()),
  })
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

function unasked(): Problem {
  const detail =
    'The origin could not be asked whether you may have the result. Send it again with the same key.'
  return problem('origin-unreachable', detail)
}

function sealed(): Problem {
  const detail =
    'The stored response is sealed. Send the Idempotency-Key of the operation; where you did, its secret is no longer configured.'
  return problem('result-not-kept', detail)
}

function notKept(): Problem {
  const detail =
    'The operation was executed once. The API asked not to keep its response: read the result from the API itself.'
  return problem('result-not-kept', detail)
}

function snapshotTooLarge(): Problem {
  return problem(
    'snapshot-too-large',
    'The operation was executed once. Its response was over the limit of this route: read the result from the API itself.',
  )
}
