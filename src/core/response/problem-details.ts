import type { Differences } from '../fingerprint/differences.ts'
import type { UnknownReason } from '../operation/record.ts'
import type { Recovery } from '../operation/recovery.ts'
import type { OriginFault } from '../outcome/outcome.ts'
import { describeSources, type KeySource } from '../request/key-source.ts'
import { type Problem, problem } from './problem.ts'
import type { RetryWord } from './retry-word.ts'

// Every occurrence of a problem, worded from facts. The text says when it occurs. A `retryAfterMs`
// comes from the caller, which adds the jitter.

export function requestInvalid(because: string): Problem {
  return problem('request-invalid', because)
}

export function keyMissing(sources: readonly KeySource[]): Problem {
  const where = describeSources(sources)
  return problem('key-missing', `This operation requires an idempotency key: ${where}.`)
}

/** @param where Pointer to the key, in words. */
export function itemKeyMissing(where: string): Problem {
  return problem('key-missing', `The item has no key ${where}.`)
}

/** @param fault Which rule the key breaks, as a sentence. */
export function keyInvalid(fault: string): Problem {
  return problem('key-invalid', fault)
}

/** A request first sent before the time that the route remembers (OASIS Repeatable Requests 1.0). */
export function firstSentTooEarly(): Problem {
  const detail = 'The request was first sent before the earliest time that this route remembers.'
  return problem('key-expired', detail, { status: 412 })
}

/** @param detail What to send instead, where the credentials are of no use. */
export function tenantMissing(
  detail = 'The request does not identify its caller. Send credentials.',
): Problem {
  return problem('tenant-missing', detail)
}

/** A process elsewhere whose token is none of the deployment's. */
export function tokenMissing(): Problem {
  const detail = 'Send a token of HAPAX_CLAIMS_TOKEN as Authorization: Bearer <token>.'
  return problem('tenant-missing', detail)
}

/** A token that acts for one tenant only, in a request for another. */
export function notForTenant(): Problem {
  return problem('tenant-missing', 'The token does not act for the tenant of the request.')
}

/** @param faults A line for each wrong field: where it is and what it must be. */
export function claimInvalid(faults: readonly string[]): Problem {
  return problem('claim-invalid', `${faults.join('. ')}.`)
}

export function claimLost(): Problem {
  const detail =
    'The claim has ended, or another owner has the operation. Claim the operation again to get its result.'
  return problem('claim-lost', detail)
}

export function tenantUnverified(retryAfterMs: number): Problem {
  const detail =
    'The credentials cannot be verified at the moment. Nothing was forwarded: send the same request with the same key.'
  return problem('tenant-missing', detail, { status: 503, retry: 'same-key', retryAfterMs })
}

export function payloadTooLarge(limitBytes: number): Problem {
  const detail = `The body is larger than the ${limitBytes} bytes that this route accepts.`
  return problem('payload-too-large', detail)
}

export function tooManyItems(maxItems: number): Problem {
  const detail = `The batch has more than the ${maxItems} items that this route accepts.`
  return problem('payload-too-large', detail)
}

export function itemsTooLarge(itemCount: number): Problem {
  const detail = `The body is too large around its ${itemCount} items, since each item is sent with it. Send fewer items at once.`
  return problem('payload-too-large', detail)
}

/** @param reason Why the body cannot be compared, as a sentence. */
export function payloadInvalid(reason: string): Problem {
  return problem('payload-invalid', reason)
}

export function notPlainJson(what: 'A message of MCP' | 'A batch'): Problem {
  const detail = `${what} must be JSON in UTF-8. Send it as Content-Type: application/json, with no Content-Encoding but gzip or deflate.`
  return problem('payload-invalid', detail)
}

export function callNotProtectable(method: string): Problem {
  const detail = `Send a ${method} as a single JSON-RPC 2.0 request with an id, not in a batch.`
  return problem('payload-invalid', detail)
}

/** A GET or HEAD with a body, which could not be sent again from a stored request. */
export function strayBody(): Problem {
  const detail =
    'A GET or HEAD request with a body cannot be forwarded here: such a body has no meaning (RFC 9110 §9.3.1). Send it without one.'
  return problem('payload-invalid', detail)
}

/** @param detail What the deployer has to fix, if the client may know it. */
export function misconfigured(
  detail = 'The operator can find the reason in the log of the gateway by the correlation id.',
): Problem {
  return problem('gateway-misconfigured', detail)
}

export function lookUpWithoutKey(): Problem {
  const detail =
    'Name the operation: send its key in the Idempotency-Key header, or as ?key=… if the key may appear in logs.'
  return problem('operation-not-found', detail)
}

export function noSuchKey(): Problem {
  const detail =
    'No operation of this caller has this key. If the key is unique within an operation only, name the operation as well: ?operation=POST /hooks/billing, with the method and path of the request, or the name of the operation in the contract.'
  return problem('operation-not-found', detail)
}

export function noSuchOperation(): Problem {
  return problem('operation-not-found', 'No operation of this caller has this id.')
}

/** @param differences `null` if they are not known. */
export function keyReused(status: number, differences: Differences | null): Problem {
  const where = differences === null ? '' : ` ${describeDifferences(differences)}`
  const detail = `This key was used for another request.${where} Send a new key for a new operation.`
  return problem('key-reused', detail, { status, differences })
}

/** Names in a sentence. */
const MAX_NAMED = 5

function describeDifferences({ parts, pointers, queryPointers }: Differences): string {
  const names = [...pointers, ...queryPointers.map((pointer) => `query ${pointer}`)]
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : ''
  const at = names.length === 0 ? '' : `, at ${names.slice(0, MAX_NAMED).join(', ')}${more}`
  return `They differ in ${parts.join(', ')}${at}.`
}

export function keyExpired(): Problem {
  return problem('key-expired', 'The result of the operation with this key is no longer stored.')
}

export function inProgress(runningMs: number, retryAfterMs: number): Problem {
  const detail = `The first request with this key has been running for ${runningMs} ms. Send the same request again later to get its result.`
  return problem('in-progress', detail, { retryAfterMs })
}

export function askedOfAnother(retryAfterMs: number): Problem {
  const detail =
    'The server has asked the client that sent the first request with this key for more input. Send the same request again later to get the result.'
  return problem('in-progress', detail, { retryAfterMs })
}

/** What the route does about an unknown outcome, and how long a retry should wait for it. */
export interface Doubt {
  readonly policy: Recovery['kind']
  /** Milliseconds; `null` where a retry is of no use. */
  readonly retryAfterMs: number | null
}

const toRetry = ({ retryAfterMs }: Doubt): { retry: RetryWord; retryAfterMs?: number } =>
  retryAfterMs === null ? { retry: 'never' } : { retry: 'wait', retryAfterMs }

const ADVICE: Record<Recovery['kind'], string> = {
  hold: 'It is not known whether the operation was executed. It is held and not executed again until the operator of this API, or a status resource, reports the outcome.',
  probe:
    'The origin is asked whether it was executed: on the next retry with the same key, and periodically in between.',
  resend:
    'A retry with the same key is sent to the origin again, which recognizes repeats by the key.',
  'self-probe':
    'A retry with the same key finds out whether it was executed, and executes it only if it was not.',
}

const REASONS: Record<UnknownReason, string> = {
  'origin-answered':
    'The origin answered with a status that does not tell whether it was executed.',
  'origin-timeout': 'The origin did not answer in time.',
  'connection-lost': 'The connection to the origin was lost.',
  'owner-lost':
    'The call was lost: the gateway restarted, or the lease of the one who made it has ended.',
  'handler-threw': 'The code that handled it failed.',
}

/**
 * An operation of an earlier request whose outcome is unknown.
 *
 * @param isTooEarly Whether the origin's word that it does not know the operation does not count yet.
 */
export function held(reason: UnknownReason, doubt: Doubt, isTooEarly: boolean): Problem {
  const grace = isTooEarly ? ` ${TOO_EARLY}` : ''
  const detail = `${REASONS[reason]}${grace} ${ADVICE[doubt.policy]}`
  return problem('outcome-unknown', detail, toRetry(doubt))
}

const TOO_EARLY =
  'The origin does not know the operation yet, but the request may still arrive there: this does not count until the time in Retry-After has passed.'

export function originSilent(timeoutMs: number, doubt: Doubt): Problem {
  const detail = `The origin sent nothing for ${timeoutMs} ms. ${ADVICE[doubt.policy]}`
  return problem('origin-timeout', detail, toRetry(doubt))
}

/** The call of this very request returned no response that can be passed on. */
export function answerLost(
  fault: Exclude<OriginFault, 'timeout'>,
  originStatus: number | null,
  doubt: Doubt,
): Problem {
  const what =
    fault === 'bad-status'
      ? `The origin answered with status ${originStatus}, which cannot be passed on or kept.`
      : LOST[fault]
  const detail = `${what} ${ADVICE[doubt.policy]}`
  // The client did nothing wrong: not a conflict of its own making.
  return problem('outcome-unknown', detail, { status: 502, ...toRetry(doubt) })
}

const LOST = {
  'not-sent': 'Nothing could be sent this time, but an earlier call may have been executed.',
  lost: 'The connection to the origin was lost after the request may have been sent.',
}

/** The call of this very request returned no response, but nothing was executed. */
export function notExecuted(fault: OriginFault, originStatus: number | null): Problem {
  const what = notExecutedWords(fault, originStatus)
  return problem('origin-unreachable', `${what} Send it again with the same key.`)
}

function notExecutedWords(fault: OriginFault, originStatus: number | null): string {
  if (originStatus === null) return 'Nothing could be sent to the origin.'
  return fault === 'bad-status'
    ? `The origin answered with status ${originStatus}, which cannot be passed on, and said that nothing was executed.`
    : 'The origin said that nothing was executed, and the rest of its response was lost.'
}

/** The call that this request has joined ended without a response to it. */
export function unanswered(retryAfterMs: number): Problem {
  const detail =
    'The first request with this key ended without a JSON-RPC response. It is not known whether it was executed: send the same request again later to get the outcome.'
  return problem('outcome-unknown', detail, { retry: 'wait', retryAfterMs })
}

/** A request that changes nothing was passed on without protection, and no response came. */
export function notPassedOn(): Problem {
  const detail =
    'The origin could not be reached, or its response was lost. The request changes nothing, so send it again.'
  return problem('origin-unreachable', detail)
}

/** @param because `timeout`, `lost`, or the status of a response that cannot be passed on. */
export function unprotectedLost(because: 'timeout' | 'lost' | number): Problem {
  const isTimeout = because === 'timeout'
  const slug = isTimeout ? 'origin-timeout' : 'outcome-unknown'
  const what =
    typeof because === 'number'
      ? `The response has status ${because}, which cannot be passed on.`
      : 'The response of the origin was lost.'
  const detail = `${what} This request was not protected: it is not known whether it was executed.`
  return problem(slug, detail, { status: isTimeout ? 504 : 502 })
}

export function tooLate(): Problem {
  const detail = 'The deadline of the request had passed when it arrived, so nothing was sent.'
  return problem('origin-timeout', detail, { retry: 'same-key' })
}

export function unasked(): Problem {
  const detail =
    'The origin could not be asked whether you may read the result. Send the request again with the same key.'
  return problem('origin-unreachable', detail)
}

export function storeUnavailable(what: 'claim' | 'guard', retryAfterMs: number): Problem {
  const happened = {
    claim: 'The operation could not be recorded, so nothing was forwarded.',
    guard: 'The object of the operation could not be reached, or was lost while it ran.',
  }[what]
  const detail = `${happened} Send the same request with the same key: it is executed, or you get its result.`
  return problem('store-unavailable', detail, { retryAfterMs })
}

export function rateLimited(retryAfterMs: number): Problem {
  const detail =
    'This caller has started too many new operations. Send the request again later with the same key.'
  return problem('rate-limited', detail, { retryAfterMs })
}

export function circuitOpen(retryAfterMs: number): Problem {
  const detail = 'The origin has failed several times in a row, so calls to it are paused.'
  return problem('circuit-open', detail, { retryAfterMs })
}

export function sealed(): Problem {
  const detail =
    'The stored response is encrypted. Send the Idempotency-Key of the operation. If you did, its secret is no longer configured.'
  return problem('result-not-kept', detail)
}

export function notKept(): Problem {
  const detail =
    'The operation was executed once. The API asked not to keep its response: read the result from the API itself.'
  return problem('result-not-kept', detail)
}

export function snapshotTooLarge(): Problem {
  const detail =
    'The operation was executed once. Its response was larger than this route stores: read the result from the API itself.'
  return problem('snapshot-too-large', detail)
}
