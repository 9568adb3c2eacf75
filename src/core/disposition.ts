import type { Work } from './answer.ts'
import type { IdempotencyStatus } from './idempotency-status.ts'
import type { Outcome } from './outcome.ts'
import type { Problem } from './problem.ts'
import type { Carrier, MessageRef } from './record.ts'

/** What the pipeline says of a message. */
export interface VerdictFacts {
  readonly status: IdempotencyStatus
  readonly outcome: Outcome | null
  readonly work: Work | null
  readonly problem: Problem | null
  /** How long the answer asks to be left alone before another try, in milliseconds. */
  readonly retryAfterMs?: number
  /** Of the last claim; 0 where nothing is known of one. */
  readonly fence: number
  /** Of a key that has expired: whether it named something else. */
  readonly isOther?: boolean
  /** Of an operation that is under way: the message whose delivery has claimed it. */
  readonly carrier?: Carrier
}

/**
 * Why a dead letter must not be executed again, even if its operation is forgotten, unless an
 * operator overrides it.
 */
export type Decision = 'mismatch' | 'failed' | 'outcome-unknown'

/** Reasons to retry a message that may have been executed: once its operation is forgotten, an operator decides. */
export const IN_DOUBT: ReadonlySet<string> = new Set(['outcome-unknown', 'unsettled', 'joined'])

/** What becomes of a message, and why. `again`: it is asked about once more, at once. */
export type MessageFate =
  | { readonly kind: 'ack' }
  /** `isOwn`: the result to come is that of this very delivery. */
  | { readonly kind: 'again'; readonly isOwn: boolean }
  | { readonly kind: 'retry'; readonly reason: string }
  | { readonly kind: 'dead-letter'; readonly reason: string; readonly decision?: Decision }

type DeadLetterFate = Extract<MessageFate, { kind: 'dead-letter' }>

const ACK: MessageFate = { kind: 'ack' }

/** What the delivery itself says. */
export interface DeliveryFacts {
  readonly message: MessageRef
  /** Whether no delivery of the message can have come to this result. */
  readonly isFirst: boolean
  /** Whether its policy has no further delivery for it, so that its queue may make none. */
  readonly isLast: boolean
  /** Whether an unknown outcome is held. */
  readonly isHeld: boolean
}

/**
 * Decides what becomes of a message. It is acknowledged only when its result is stored. It is tried
 * again if it may still succeed; it is a dead letter if it never can, or if an operator must decide.
 * A message that was seen before has no effect.
 */
export function decideFate(
  facts: VerdictFacts,
  { message, isFirst, isLast, isHeld }: DeliveryFacts,
): MessageFate {
  const { status, outcome, work, problem } = facts
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- what remains is a repeat, or can be tried again
  switch (status) {
    case 'executed':
      // What streams is stored at its end only; or somebody else has taken over.
      return isSettled(work) ? ofResult(outcome) : again({ isOwn: true })
    case 'joined':
      return outcome === 'succeeded' || outcome === 'failed'
        ? again({ isOwn: false })
        : retry(status)
    case 'unknown':
      return isHeld ? decided('outcome-unknown') : retry('outcome-unknown')
    case 'in-progress':
      // Else its queue would take it away as lost.
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
 * Turns a retry into a dead letter after the last delivery that the policy allows; but not while the
 * operation is in progress, which only the queue's own `max_retries` ends.
 *
 * @param attempts Deliveries so far, of `most`.
 */
export function exhaust<fate extends MessageFate>(
  fate: fate,
  attempts: number,
  most: number,
): fate | DeadLetterFate {
  if (fate.kind !== 'retry' || attempts < most || fate.reason === 'in-progress') return fate
  const reason = `retries-exhausted: ${fate.reason}`
  const isInDoubt = IN_DOUBT.has(fate.reason)
  return { kind: 'dead-letter', reason, ...(isInDoubt && { decision: 'outcome-unknown' }) }
}

/**
 * Whether an operation is driven to its end without this message, by another one of its queue: one
 * that comes back until it is done, or is a dead letter itself. A client may give its request up, and
 * a message that comes back from the platform's dead letters bears another id than the one that it was.
 */
export function isCarried(carrier: Carrier | undefined, { queue, id }: MessageRef): boolean {
  return carrier !== undefined && carrier.queue === queue && carrier.id !== id && !carrier.isNearEnd
}

const isSettled = (work: Work | null) => work?.settle === 'taken' || work?.settle === 'late'

function ofRepeat(facts: VerdictFacts, isFirst: boolean): MessageFate {
  const { status, outcome } = facts
  if (status === 'expired') return ofTombstone(facts)
  if (!isEnded(status)) return retry(status)
  // Its call has not come to its end yet.
  if (outcome === null) return again({ isOwn: false })
  // It may be an earlier delivery of this very message, whose dead letter could not be kept.
  return isFirst ? ACK : ofResult(outcome)
}

/** Whether a status says that the operation has ended, even if its result cannot be read. */
export function isEnded(status: string): boolean {
  return ENDED.has(status)
}

const ENDED: ReadonlySet<string> = new Set(['replayed', 'too-large', 'not-kept', 'sealed'])

/** Whoever had the result of an operation that is over has had its time: only what was done is done. */
function ofTombstone({ outcome, fence, isOther = false }: VerdictFacts): MessageFate {
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
