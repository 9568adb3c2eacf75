import type { HeaderField } from '../operation/snapshot.ts'
import { hasRetryAfter, readShouldRetry } from '../retry/retry-after.ts'
import { classifyStatus } from './classify.ts'
import type { Said } from './outcome-rules.ts'
import { isRefusalOfCaller, isRefusalOfRequest } from './outcome.ts'
import type { EndedReply, LandingRules, ReplyOf } from './reply.ts'

/**
 * What the status resource says about an operation. Unlike a reply to the operation's own call, it can
 * leave the claim as it is.
 */
export type Finding =
  | {
      readonly kind: 'executed'
      readonly status: number
      readonly reply: ReplyOf<'answer'>
      /** What the route says about the result. */
      readonly said: Said | null
    }
  /** `isSaid`: by the origin's own directive, which counts at once. */
  | { readonly kind: 'not_executed'; readonly isSaid?: boolean }
  | {
      readonly kind: 'undecided'
      /** Whether the origin refuses the caller. */
      readonly isRefused?: boolean
      /** When it may be asked again. */
      readonly retryAfterMs?: number
      /** Epoch milliseconds before which its "not executed" does not count. */
      readonly until?: number | null
    }

/** A finding that does not settle the operation. */
export type Unsettled = Exclude<Finding, { readonly kind: 'executed' }>

const EXECUTED_STATUS = 200

/**
 * Reads an answer of the status resource. 2xx: the operation was executed, and this is its result. 404
 * and 410: it was not executed. Anything else, or an answer that it has not ended, is undecided. The
 * origin's own directive has priority. `Idempotency-Result-Status` is the status of the result.
 */
export function decideProbe(
  reply: EndedReply,
  { outcomes }: Pick<LandingRules, 'outcomes'>,
): Finding {
  const word = reply.kind === 'fault' ? reply.directive : reply.directives.outcome
  if (word === 'not-executed') return { kind: 'not_executed', isSaid: true }
  if (reply.kind === 'fault') return { kind: 'undecided' }
  if (word === 'executed') return toExecuted(reply, null)
  const { retryAfterMs = null } = reply
  const asked = retryAfterMs === null ? {} : { retryAfterMs }
  if (isRefusalOfCaller(reply.status)) return { kind: 'undecided', isRefused: true, ...asked }
  return readStatusAnswer(reply, outcomes) ?? { kind: 'undecided', ...asked }
}

/** @returns `null` if it decides nothing. */
function readStatusAnswer(
  reply: ReplyOf<'answer'>,
  outcomes: LandingRules['outcomes'],
): Finding | null {
  const { status, said = null } = reply
  if (isUnfinished(reply, outcomes)) return null
  if (status === 404 || status === 410) return { kind: 'not_executed' }
  if (!isSuccess(status)) return null
  const isUnexecuted =
    said === null ? isRefusedResult(reply, outcomes) : said.outcome === 'not_executed'
  return isUnexecuted ? { kind: 'not_executed' } : toExecuted(reply, said)
}

function toExecuted(reply: ReplyOf<'answer'>, said: Said | null): Finding {
  const status = isSuccess(reply.status) ? EXECUTED_STATUS : reply.status
  return { kind: 'executed', status: reply.directives.resultStatus ?? status, reply, said }
}

const isSuccess = (status: number) => status >= 200 && status <= 299

/** Still in progress, unless the answer has the status of the result. */
const ACCEPTED = 202

/** Whether the status resource says that the operation has not ended. */
function isUnfinished(
  { status, headers, directives, said = null }: ReplyOf<'answer'>,
  outcomes: LandingRules['outcomes'],
): boolean {
  if (said?.outcome === 'unknown' || asksToComeBack(headers)) return true
  if (said !== null) return false
  const { resultStatus } = directives
  if (resultStatus === null) return status === ACCEPTED
  return isUnexecutedResult(resultStatus, outcomes) && !isRefusalOfRequest(resultStatus)
}

/** Whether the request itself was refused, which is final. */
function isRefusedResult(
  { directives: { resultStatus } }: ReplyOf<'answer'>,
  outcomes: LandingRules['outcomes'],
): boolean {
  return (
    resultStatus !== null &&
    isRefusalOfRequest(resultStatus) &&
    isUnexecutedResult(resultStatus, outcomes)
  )
}

const isUnexecutedResult = (resultStatus: number, outcomes: LandingRules['outcomes']) =>
  classifyStatus(resultStatus, outcomes) === 'not_executed'

function asksToComeBack(headers: readonly HeaderField[]): boolean {
  return readShouldRetry(headers) ?? hasRetryAfter(headers)
}
