import type { Work } from './answer.ts'
import type { Outcome } from './outcome.ts'
import type { Problem } from './problem.ts'
import type { IdempotencyStatus } from './verdict.ts'

/** What is known of a message when it has been handled like a request. */
export interface VerdictFacts {
  readonly status: IdempotencyStatus
  readonly outcome: Outcome | null
  readonly work: Work | null
  readonly problem: Problem | null
  readonly operationId: string | null
  readonly correlationId: string
}

/** What becomes of a message, and why. `again`: it is asked about once more, at once. */
export type MessageFate =
  | { readonly kind: 'ack' }
  /** `isOwn`: the result to come is that of this very delivery. */
  | { readonly kind: 'again'; readonly isOwn: boolean }
  | { readonly kind: 'retry'; readonly reason: string }
  | { readonly kind: 'dead-letter'; readonly reason: string }

const ACK: MessageFate = { kind: 'ack' }

/**
 * Decides what becomes of a message. It is done only when its result is stored; what could still
 * be done is tried again; what never can be, or what nobody may decide but an operator, is a dead
 * letter. A message that was seen before has no effect.
 *
 * @param isFirst Whether no delivery of the message can have come to this result.
 * @param isHeld Whether an unknown outcome is held.
 */
export function decideFate(
  facts: VerdictFacts,
  { isFirst, isHeld }: { readonly isFirst: boolean; readonly isHeld: boolean },
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
      return isHeld ? deadLetter('outcome-unknown') : retry('outcome-unknown')
    case 'mismatch':
      return deadLetter(problem?.detail ?? 'key-reused')
    case 'rejected':
      return toRejected(problem)
    default:
      return ofRepeat(facts, isFirst)
  }
}

const isSettled = (work: Work | null) => work?.settle === 'taken' || work?.settle === 'late'

function ofRepeat({ status, outcome }: VerdictFacts, isFirst: boolean): MessageFate {
  // It may be an earlier delivery of this very message, whose dead letter could not be kept.
  if (status === 'replayed') return isFirst ? ACK : ofResult(outcome)
  return DONE.has(status) ? ACK : retry(status)
}

/** Done before, though nobody can read the result any more. */
const DONE: ReadonlySet<IdempotencyStatus> = new Set(['expired', 'too-large', 'sealed'])

const ofResult = (outcome: Outcome | null) => (outcome === 'failed' ? deadLetter('failed') : ACK)

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
