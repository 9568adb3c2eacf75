import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import { type Answer, NO_TIME, type Timing, type Work } from '../core/operation/answer.ts'
import type { OperationView } from '../core/operation/operation-view.ts'
import type { Carrier } from '../core/operation/record.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import type { Outcome } from '../core/outcome/outcome.ts'
import type { IdempotencyStatus } from '../core/response/idempotency-status.ts'
import * as details from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { retryAfterMs } from '../core/retry/retry-after.ts'
import { toSharedHeaders, toSnapshotHeaders } from '../core/wire/headers.ts'
import type { Identity } from './gateway-env.ts'

/** The answer of a request, a response or a problem, with the facts for metrics and log. */
export interface Verdict {
  readonly status: IdempotencyStatus
  readonly reply: WireResponse | Problem
  readonly outcome: Outcome | null
  readonly fence: number
  readonly timing: Timing
  /** `null` if this request made no call. */
  readonly work: Work | null
  /** On a replay, milliseconds since the operation settled; if it is unknown, since then. */
  readonly ageMs: number
  /** For how many milliseconds from now the ended operation is remembered. */
  readonly rememberedMs?: number
  /** For an expired key: whether it named another request. */
  readonly isOther?: boolean
  /** The message that made the running claim, if it was a message. */
  readonly carrier?: Carrier
  /** Whether the store failed and certainly nothing was claimed or sent. */
  readonly isUnclaimed?: true
}

/** A verdict of which nothing else is known. */
const NOTHING = { outcome: null, fence: 0, timing: NO_TIME, work: null, ageMs: 0 } as const

/** A request that was rejected before its claim. */
export function rejected(because: Problem): Verdict {
  return { ...NOTHING, status: 'rejected', reply: because }
}

/** A request that was forwarded without protection. */
export const UNPROTECTED: Omit<Verdict, 'reply'> = { ...NOTHING, status: 'unprotected' }

/** The problem of a request without a tenant. */
export function tenantMissing(identity: Exclude<Identity, { kind: 'known' }>): Problem {
  if (identity.kind === 'unverified') return details.tenantUnverified(soonMs())
  return details.tenantMissing(identity.kind === 'refused' ? identity.detail : undefined)
}

/**
 * The deployment lacks something, or its code failed, before anything was recorded. Only the message
 * of a fault of the configuration is known to name no secret.
 */
export function misconfigured(error: unknown): Verdict {
  const isFault = error instanceof ConfigurationFault
  return rejected(details.misconfigured(isFault ? error.message : undefined))
}

/** A request that was forwarded without protection, and whose answer was lost. */
export function unprotectedLost(because: 'timeout' | 'lost' | number): Verdict {
  return { ...NOTHING, status: 'unprotected', reply: details.unprotectedLost(because) }
}

/** The claim could not be stored. */
export function storeFault(): Verdict {
  return { ...storeUnavailable('claim'), isUnclaimed: true }
}

/** The object could not be reached, or was reset while it ran the operation. */
export function guardLost(): Verdict {
  return storeUnavailable('guard')
}

function storeUnavailable(what: 'claim' | 'guard'): Verdict {
  return { ...NOTHING, status: 'store-fault', reply: details.storeUnavailable(what, soonMs()) }
}

/** When a client should retry, with jitter. @param runningMs How long the cause has lasted. */
export const soonMs = (runningMs = 0): number => retryAfterMs(runningMs, Math.random())

/** Maps the answer of an object to that of the client. @param base As of the request's scope. */
export function toVerdict(answer: Answer, policy: Policy, base = ''): Verdict {
  switch (answer.kind) {
    case 'executed':
      return { ...NOTHING, ...answer, status: toStatus(answer.outcome), reply: answer.response }
    case 'joined':
      return { ...NOTHING, ...answer, status: 'joined', reply: toKept(answer, policy) }
    case 'replayed':
      return { ...NOTHING, ...answer, status: 'replayed', reply: toKept(answer, policy) }
    case 'lost':
      return lost(answer, policy)
    case 'mismatch': {
      const reply = details.keyReused(policy.mismatchStatus, null)
      return { ...NOTHING, fence: answer.fence, status: 'mismatch', reply }
    }
    case 'in_flight': {
      const reply = details.inProgress(answer.runningMs, soonMs(answer.runningMs))
      return { ...NOTHING, ...answer, status: 'in-progress', reply }
    }
    case 'held': {
      const { reason, policy: kind, until = null } = answer
      const reply = details.held(reason, doubtOf(kind, until), until !== null)
      return { ...NOTHING, ...answer, status: 'unknown', outcome: 'unknown', reply }
    }
    case 'expired':
      return { ...NOTHING, ...answer, status: 'expired', reply: details.keyExpired() }
    case 'too_large':
      return answer.omittedFor === undefined
        ? { ...NOTHING, ...answer, status: 'too-large', reply: details.snapshotTooLarge() }
        : { ...NOTHING, ...answer, status: 'not-kept', reply: details.notKept() }
    case 'refused':
      return { ...NOTHING, fence: answer.fence, status: 'rejected', reply: answer.response }
    case 'unasked':
      return { ...rejected(details.unasked()), fence: answer.fence }
    case 'sealed':
      return { ...NOTHING, ...answer, status: 'sealed', reply: details.sealed() }
    case 'accepted':
      return {
        ...NOTHING,
        fence: answer.fence,
        status: 'accepted',
        reply: accepted(answer.view, base),
      }
    case 'too_late':
      return rejected(details.tooLate())
    case 'rate_limited':
      return rejected(details.rateLimited(soonMs(RATE_WAIT_MS)))
    case 'circuit_open':
      return rejected(details.circuitOpen(soonMs(answer.retryAfterMs)))
    case 'store_fault':
      return storeFault()
  }
}

/** The shortest period of the platform's rate limits. */
const RATE_WAIT_MS = 10_000

/** Removes the headers that the current policy does not allow for other requests. It may be stricter than the record. */
function toKept(
  { response, outcome }: Extract<Answer, { kind: 'joined' | 'replayed' }>,
  { snapshot }: Policy,
): WireResponse {
  const isEnd = outcome === 'succeeded' || outcome === 'failed'
  const toHeaders = isEnd ? toSnapshotHeaders : toSharedHeaders
  return { ...response, headers: toHeaders(response.headers, snapshot) }
}

/** Whether a reply is a problem of the gateway, not a response of the origin. */
export function isProblem(reply: WireResponse | Problem): reply is Problem {
  return 'slug' in reply
}

/** Whether a request is answered with the result of another request. */
export function isOfAnother(status: IdempotencyStatus): boolean {
  return status === 'replayed' || status === 'joined'
}

/** The status of a request that made a call. */
export function toStatus(outcome: Outcome | null): IdempotencyStatus {
  if (outcome === 'not_executed') return 'not-executed'
  return outcome === 'unknown' ? 'unknown' : 'executed'
}

function lost(answer: Extract<Answer, { kind: 'lost' }>, policy: Policy): Verdict {
  const status = answer.work === null ? 'joined' : toStatus(answer.outcome)
  return { ...NOTHING, ...answer, status, reply: lostProblem(answer, policy) }
}

function lostProblem(
  { fault, outcome, originStatus }: Extract<Answer, { kind: 'lost' }>,
  { unknown, timeout }: Policy,
): Problem {
  if (outcome === 'not_executed') return details.notExecuted(fault, originStatus)
  const doubt = doubtOf(typeof unknown === 'object' ? unknown.kind : unknown)
  return fault === 'timeout'
    ? details.originSilent(timeout, doubt)
    : details.answerLost(fault, originStatus, doubt)
}

/** @param until Epoch milliseconds before which a retry cannot resolve the doubt, or `null`. */
function doubtOf(policy: details.Doubt['policy'], until: number | null = null): details.Doubt {
  if (policy === 'hold') return { policy, retryAfterMs: null }
  const graceMs = until === null ? 0 : Math.max(0, until - Date.now())
  // Rounded up, because `Retry-After` is in seconds, and rounding down may be too early.
  return { policy, retryAfterMs: graceMs === 0 ? soonMs() : ceilToSecond(graceMs + soonMs()) }
}

const ceilToSecond = (ms: number) => Math.ceil(ms / 1_000) * 1_000

/** When a client should ask for the result, in seconds. */
const COME_BACK_SECONDS = 1

function accepted(view: OperationView, base: string): WireResponse {
  return {
    status: 202,
    headers: [
      ['content-type', 'application/json'],
      ['location', base + operationPath(view.id)],
      ['preference-applied', 'respond-async'],
      ['retry-after', String(COME_BACK_SECONDS)],
    ],
    body: new TextEncoder().encode(JSON.stringify(view)),
  }
}

/** Path of the state of an operation, below the base of its app. */
export const operationPath = (operationId: string): string => `/_hapax/operations/${operationId}`
