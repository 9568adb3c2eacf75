import type { OriginFault, Outcome } from '../outcome/outcome.ts'
import { type Attempt, doubtOf, type OperationRecord } from './record.ts'
import { boundWaitMs } from './recovery.ts'

/** The evidence of a call that has ended. */
export interface Evidence {
  readonly originStatus: number | null
  readonly fault: OriginFault | null
  /** Epoch milliseconds of the call's end, if its settle comes later. */
  readonly endedAt?: number
  /** For how many milliseconds from then the origin asks for no other call. */
  readonly retryAfterMs?: number
}

/** The end of a call. */
export interface CallEnd {
  readonly outcome: Outcome
  readonly evidence: Evidence
}

/** The evidence of at most so many calls is kept. */
const MAX_ATTEMPTS_KEPT = 20

/** Whether no call of the operation can have been executed: only then is its key free. */
export function isUnexecuted({ attempts }: OperationRecord): boolean {
  return attempts.every(({ outcome }) => outcome === 'not_executed')
}

/** A call that was lost with its owner ends when the loss is found out. */
export function toDoubtful(attempt: Attempt, now: number): Attempt {
  return attempt.outcome === null ? { ...attempt, outcome: 'unknown', endedAt: now } : attempt
}

/** Whether a call may have been executed. */
export const isDoubtful = ({ outcome }: Attempt): boolean => outcome !== 'not_executed'

/**
 * For how many milliseconds the last call that may have been executed has been over; `null`: there is
 * none. It may still arrive, however long an earlier one has been in doubt.
 *
 * @param now Epoch milliseconds.
 */
export function lastDoubtMs(record: OperationRecord, now: number): number | null {
  if (doubtOf(record) === null) return null
  const ends = record.attempts.filter(isDoubtful).map(({ endedAt }) => endedAt ?? 0)
  const endedAt = Math.max(0, ...ends)
  return endedAt === 0 ? null : Math.max(0, now - endedAt)
}

/** A call that, as is known now, was not executed. */
export const toUnexecuted = (attempt: Attempt): Attempt => ({ ...attempt, outcome: 'not_executed' })

/** Adds the call of a new claim. */
export function withAttempt(
  attempts: readonly Attempt[],
  fence: number,
  startedAt: number,
): Attempt[] {
  const open = { endedAt: null, originStatus: null, fault: null, outcome: null }
  return [...makeRoom(attempts), { fence, startedAt, ...open }]
}

/** Drops the oldest call if there are too many, first those that were not executed. */
function makeRoom(attempts: readonly Attempt[]): readonly Attempt[] {
  if (attempts.length < MAX_ATTEMPTS_KEPT) return attempts
  const index = attempts.findIndex(({ outcome }) => outcome === 'not_executed')
  return attempts.toSpliced(index === -1 ? 1 : index, 1)
}

/** Notes the end of the last claim's call. */
export function closeAttempt(
  { attempts, fence }: OperationRecord,
  { outcome, evidence }: CallEnd,
  endedAt: number,
): Attempt[] {
  return attempts.map((attempt) =>
    attempt.fence === fence ? { ...attempt, outcome, endedAt, ...evidence } : attempt,
  )
}

/** Until when the origin asks not to be called again, in epoch milliseconds; 0: it does not. */
export function leftAloneUntil({ attempts, retentionMs }: OperationRecord): number {
  const { endedAt = null, retryAfterMs } = attempts.at(-1) ?? {}
  if (endedAt === null || retryAfterMs === undefined) return 0
  return endedAt + boundWaitMs(retryAfterMs, { retentionMs })
}
