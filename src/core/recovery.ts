import type { Said } from './outcome-rules.ts'
import { classifyStatus, isRefusalOfCaller, isRefusalOfRequest } from './outcome.ts'
import type { LandingRules, Reply } from './reply.ts'
import { hasRetryAfter, readShouldRetry } from './retry-after.ts'
import type { HeaderField } from './snapshot.ts'

type AnswerReply = Extract<Reply, { kind: 'answer' }>

/** Bounds of one call. */
export interface CallBounds {
  /** Milliseconds until the headers, then for every silence between two chunks of the body. */
  readonly timeoutMs: number
  /** Bytes of body that are collected. */
  readonly limitBytes: number
}

/** What is needed to call the origin again without the request that did it first. */
export interface RecoveryRules {
  readonly bounds: CallBounds
  readonly rules: LandingRules
  /** Whether the request is stored, so that it can be sent again without a client. */
  readonly isDurable: boolean
}

/**
 * What is done about an unknown outcome: nothing until somebody resolves it, ask the origin's
 * status resource, or send it again to an origin that knows repeats by their key.
 */
export type Recovery =
  | { readonly kind: 'hold'; readonly isDurable?: false }
  | ({ readonly kind: 'hold' } & RecoveryRules)
  | ({
      readonly kind: 'probe'
      readonly path: string
      /** Milliseconds after a call was given up in which a "not executed" is not believed; else 0. */
      readonly graceMs?: number
    } & RecoveryRules)
  | ({ readonly kind: 'resend' } & RecoveryRules)

/** The same without a stored request: nothing is sent again but for the next request. */
export function toUnstored(recovery: Recovery): Recovery {
  return recovery.kind === 'hold' ? { kind: 'hold' } : { ...recovery, isDurable: false }
}

/** How long a "not executed" of the status resource is not believed; a route without one has none. */
export function graceMsOf(recovery: Recovery): number {
  return recovery.kind === 'probe' ? (recovery.graceMs ?? 0) : 0
}

/** What an answer of the status resource says of the operation. */
export type ProbeVerdict =
  | {
      readonly kind: 'executed'
      readonly status: number
      readonly reply: AnswerReply
      /** What the route says of the result, where its body tells. */
      readonly said: Said | null
    }
  /** `isSaid`: by the origin's own word, which counts at once. */
  | { readonly kind: 'not_executed'; readonly isSaid?: boolean }
  /** `isRefused`: the origin does not let in who asks. `retryAfterMs`: when it may be asked again. */
  | { readonly kind: 'undecided'; readonly isRefused?: boolean; readonly retryAfterMs?: number }

const EXECUTED_STATUS = 200

/**
 * Reads an answer of the origin's status resource: 2xx says that the operation was executed and
 * holds its result, 404 and 410 that it was not. Anything else says nothing, and nothing is said by an
 * answer that tells that the operation has not come to its end. The origin's own word beats all that.
 *
 * `Idempotency-Result-Status` of the answer is the status of the result.
 */
export function decideProbe(
  reply: Reply,
  { outcomes }: Pick<LandingRules, 'outcomes'>,
): ProbeVerdict {
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
  reply: AnswerReply,
  outcomes: LandingRules['outcomes'],
): ProbeVerdict | null {
  const { status, said = null } = reply
  if (isUnfinished(reply, outcomes)) return null
  if (status === 404 || status === 410) return { kind: 'not_executed' }
  if (!isSuccess(status)) return null
  const isUnexecuted =
    said === null ? isRefusedResult(reply, outcomes) : said.outcome === 'not_executed'
  return isUnexecuted ? { kind: 'not_executed' } : toExecuted(reply, said)
}

function toExecuted(reply: AnswerReply, said: Said | null): ProbeVerdict {
  const status = isSuccess(reply.status) ? EXECUTED_STATUS : reply.status
  return { kind: 'executed', status: reply.directives.resultStatus ?? status, reply, said }
}

const isSuccess = (status: number) => status >= 200 && status <= 299

/** It is still worked on, unless the answer says what the status of the result is. */
const ACCEPTED = 202

/** Whether an answer of the status resource says that the operation has not come to its end. */
function isUnfinished(
  { status, headers, directives, said = null }: AnswerReply,
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
  { directives: { resultStatus } }: AnswerReply,
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

const FIRST_RECOVERY_MS = 5_000
const LAST_RECOVERY_MS = 300_000

/** Milliseconds to the next recovery by alarm: 5 s at first, doubling to 5 minutes. */
export function recoveryDelayMs(recoveryCount: number): number {
  return Math.min(LAST_RECOVERY_MS, FIRST_RECOVERY_MS * 2 ** recoveryCount)
}

const LONGEST_WAIT_MS = 3_600_000

/**
 * How long an operation is left alone because its origin asks for that: an hour at the most, and no
 * longer than its result would be kept.
 */
export function boundWaitMs(
  askedMs: number,
  { retentionMs }: { readonly retentionMs: number },
): number {
  return Math.min(askedMs, LONGEST_WAIT_MS, retentionMs)
}

/** Puts an operation's names into a path at the origin; each is percent-encoded. */
export function expandPath(
  template: string,
  names: { readonly key: string; readonly tenant: string; readonly id: string },
): string {
  return template.replace(/\{(key|tenant|id)\}/g, (_, name: keyof typeof names) =>
    encodeURIComponent(names[name]),
  )
}
