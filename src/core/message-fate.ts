import type { Work } from './operation/answer.ts'
import type { Carrier, MessageRef } from './operation/record.ts'
import type { Outcome } from './outcome/outcome.ts'
import type { IdempotencyStatus } from './response/idempotency-status.ts'
import type { Problem } from './response/problem.ts'
import type { RetryDecision } from './retry/retry.ts'

/** What the pipeline says about a message. */
export interface MessageFacts {
  readonly status: IdempotencyStatus
  readonly outcome: Outcome | null
  readonly work: Work | null
  readonly problem: Problem | null
  /** For how many milliseconds the answer asks for no other try. */
  readonly retryAfterMs?: number
  /** Of the last claim; 0 if no claim is known. */
  readonly fence: number
  /** Of an expired key: whether it was used for another request. */
  readonly isOther?: boolean
  /** Of an operation in progress: the message whose delivery claimed it. */
  readonly carrier?: Carrier
}

/**
 * Why a dead letter must not be executed again, even if its operation is forgotten, unless an
 * operator overrides it.
 */
export type Decision = 'mismatch' | 'failed' | 'outcome-unknown'

/** Reasons to retry a message that may have been executed. Once its operation is forgotten, an operator decides. */
export const IN_DOUBT: ReadonlySet<string> = new Set(['outcome-unknown', 'unsettled', 'joined'])

/** What happens to a message, and why. `again`: the pipeline is asked once more, at once. */
export type MessageFate =
  | { readonly kind: 'ack' }
  /** `isOwn`: the expected result is that of this delivery. */
  | { readonly kind: 'again'; readonly isOwn: boolean }
  | { readonly kind: 'retry'; readonly reason: string }
  | { readonly kind: 'dead-letter'; readonly reason: string; readonly decision?: Decision }

type DeadLetterFate = Extract<MessageFate, { kind: 'dead-letter' }>

const ACK: MessageFate = { kind: 'ack' }

/** The facts of the delivery. */
export interface DeliveryFacts {
  readonly message: MessageRef
  /** Whether no earlier delivery of the message can have produced the result. */
  readonly isFirst: boolean
  /** Whether its policy allows no further delivery. */
  readonly isLast: boolean
  /** Whether an unknown outcome is held. */
  readonly isHeld: boolean
}

/**
 * Decides what happens to a message. It is acknowledged only when its result is stored, retried if it
 * can still succeed, and a dead letter if it cannot, or if an operator must decide.
 */
export function decideFate(
  facts: MessageFacts,
  { message, isFirst, isLast, isHeld }: DeliveryFacts,
): MessageFate {
  const { status, outcome, work, problem } = facts
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- what remains is a repeat, or can be tried again
  switch (status) {
    case 'executed':
      // A stream is stored at its end only; or another claim has taken over.
      return isSettled(work) ? ofResult(outcome) : again({ isOwn: true })
    case 'joined':
      return outcome === 'succeeded' || outcome === 'failed'
        ? again({ isOwn: false })
        : retry(status)
    case 'unknown':
      return isHeld ? decided('outcome-unknown') : retry('outcome-unknown')
    case 'in-progress':
      // Else its queue would move it to the dead letters.
      return isLast && isCarried(facts.carrier, message) ? ACK : retry(status)
    case 'mismatch':
      return decided('mismatch', problem?.detail ?? 'key-reused')
    case 'rejected':
      return toRejected(problem)
    default:
      return ofRepeat(facts, isFirst)
  }
}

/**
 * Turns a retry that the policy does not allow into a dead letter; but not while the operation is in
 * progress, which only the queue's own `max_retries` ends.
 */
export function exhaust<fate extends MessageFate>(
  fate: fate,
  decision: RetryDecision,
): fate | DeadLetterFate {
  const isAllowed = decision.kind === 'retry'
  if (fate.kind !== 'retry' || isAllowed || fate.reason === 'in-progress') return fate
  const reason = `retries-exhausted: ${fate.reason}`
  const isInDoubt = IN_DOUBT.has(fate.reason)
  return { kind: 'dead-letter', reason, ...(isInDoubt && { decision: 'outcome-unknown' }) }
}

/**
 * Whether another message of the queue drives the operation to its end, by its retries or as a dead
 * letter. A client's request does not: it may be given up. A message that returns from the platform's
 * dead letters has a new id.
 */
export function isCarried(carrier: Carrier | undefined, { queue, id }: MessageRef): boolean {
  return carrier !== undefined && carrier.queue === queue && carrier.id !== id && !carrier.isNearEnd
}

const isSettled = (work: Work | null) => work?.settle === 'taken' || work?.settle === 'late'

function ofRepeat(facts: MessageFacts, isFirst: boolean): MessageFate {
  const { status, outcome } = facts
  if (status === 'expired') return ofTombstone(facts)
  if (!isEnded(status)) return retry(status)
  // Its call has not ended yet.
  if (outcome === null) return again({ isOwn: false })
  // It may be an earlier delivery of this message, whose dead letter could not be stored.
  return isFirst ? ACK : ofResult(outcome)
}

/** Whether a status says that the operation has ended, even if its result cannot be read. */
export function isEnded(status: string): boolean {
  return ENDED.has(status)
}

const ENDED: ReadonlySet<string> = new Set(['replayed', 'too-large', 'not-kept', 'sealed'])

/** After retention, a message counts as done only if its operation succeeded. */
function ofTombstone({ outcome, fence, isOther = false }: MessageFacts): MessageFate {
  if (isOther) return decided('mismatch', 'key-reused')
  if (outcome === 'succeeded') return ACK
  if (outcome === 'failed') return decided('failed')
  return fence === 0 ? decided('outcome-unknown', FORGOTTEN) : decided('outcome-unknown')
}

/** Reason of a dead letter with a decision whose operation is forgotten. */
export const FORGOTTEN = 'forgotten'

const ofResult = (outcome: Outcome | null) => (outcome === 'failed' ? decided('failed') : ACK)

function toRejected(problem: Problem | null): MessageFate {
  if (problem === null) return retry('rejected')
  // Its detail names header fields, which no message has.
  if (problem.slug === 'key-missing') return deadLetter(KEY_MISSING)
  const isForNow = problem.retryable || problem.slug === 'gateway-misconfigured'
  return isForNow ? retry(problem.slug) : deadLetter(`${problem.slug}: ${problem.detail}`)
}

const KEY_MISSING = 'key-missing: the message has no key where its policy looks for one'

const again = ({ isOwn }: { readonly isOwn: boolean }): MessageFate => ({ kind: 'again', isOwn })
const retry = (reason: string): MessageFate => ({ kind: 'retry', reason })
const deadLetter = (reason: string): MessageFate => ({ kind: 'dead-letter', reason })
const decided = (decision: Decision, reason: string = decision): MessageFate => ({
  kind: 'dead-letter',
  reason,
  decision,
})
