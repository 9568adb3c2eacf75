import { classifyStatus } from './classify.ts'
import type { Said } from './outcome-rules.ts'
import { isRefusalOfCaller, isRefusalOfRequest } from './outcome.ts'
import type { EndedReply, LandingRules, ReplyOf } from './reply.ts'
import { hasRetryAfter, readShouldRetry } from './retry-after.ts'
import type { HeaderField } from './snapshot.ts'

/**
 * What a reply of the origin's status resource says of an operation. A reply to the operation's own call
 * always ends its claim; this one may leave it as it is.
 */
export type Finding =
  | {
      readonly kind: 'executed'
      readonly status: number
      readonly reply: ReplyOf<'answer'>
      /** What the route says of the result, where its body tells. */
      readonly said: Said | null
    }
  /** `isSaid`: by the origin's own word, which counts at once. */
  | { readonly kind: 'not_executed'; readonly isSaid?: boolean }
  | {
      readonly kind: 'undecided'
      /** Whether the origin does not let in who asks. */
      readonly isRefused?: boolean
      /** When it may be asked again. */
      readonly retryAfterMs?: number
      /** Epoch milliseconds before which its word that nothing was executed is not believed. */
      readonly until?: number | null
    }

/** What is found of an operation that is not settled by it. */
export type Unsettled = Exclude<Finding, { readonly kind: 'executed' }>

const EXECUTED_STATUS = 200

/**
 * Reads an answer of the origin's status resource: 2xx says that the operation was executed and
 * holds its result, 404 and 410 that it was not. Anything else says nothing, and nothing is said by an
 * answer that tells that the operation has not come to its end. The origin's own word beats all that.
 *
 * `Idempotency-Result-Status` of the answer is the status of the result.
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

/** @returns `null` where it says nothing. */
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

/** It is still worked on, unless the answer says what the status of the result is. */
const ACCEPTED = 202

/** Whether an answer of the status resource says that the operation has not come to its end. */
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

/** Whether the request was refused as it was, which will not change: that is its end. */
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
