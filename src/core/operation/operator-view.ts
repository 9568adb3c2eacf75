import { compareText } from '../compare-text.ts'
import { toTime } from '../time.ts'
import type { OperationView } from './operation-view.ts'
import type { Attempt, OperationRecord } from './record.ts'
import type { Recovery } from './recovery.ts'
import { isSealed, type SnapshotHead } from './snapshot.ts'

/** What an operator sees of an operation. Times are RFC 3339; no fingerprint, no body. */
export interface OperatorView extends Omit<OperationView, 'attempts' | 'result'> {
  readonly tenant: string
  /** Name of its origin; absent for the deployment's own. */
  readonly origin?: string
  readonly traceparent: string
  readonly fence: number
  readonly claimedAt: string
  /** How an expired operation ended, where that is still known. */
  readonly outcome?: 'succeeded' | 'failed' | 'unknown'
  /** Who drives it while it is in progress, and until when without renewal. */
  readonly owner?: { readonly kind: 'object' | 'worker'; readonly leaseUntil?: string }
  /** Whether this very object is calling the origin for it right now. */
  readonly isRunning: boolean
  /** What is done about an unknown outcome. */
  readonly recovery: Exclude<Recovery['kind'], 'self-probe'>
  readonly isDurable: boolean
  readonly isAccepted: boolean
  readonly result?: Pick<SnapshotHead, 'bodyBytes' | 'body'> & {
    readonly status?: number
    readonly isSealed: boolean
  }
  readonly attempts: readonly AttemptView[]
  /** Events that still wait for their delivery. */
  readonly pendingEvents: number
  readonly timeline: readonly TimelineEntry[]
}

type AttemptView = Omit<Attempt, 'startedAt' | 'endedAt'> & {
  readonly startedAt: string
  readonly endedAt: string | null
}

/** One thing that happened to an operation. */
export interface TimelineEntry {
  readonly at: string
  /** `claimed`, `settled`, … or, of a request, its `Idempotency-Status`. */
  readonly what: string
  readonly detail?: Readonly<Record<string, string | number>>
}

/** A page of the points of a timeline. */
export interface TimelinePage {
  readonly timeline: readonly TimelineEntry[]
  /** Whether there are more points. */
  readonly isCut: boolean
  /** `after` of the next page; `null` on the last. */
  readonly timelineNext: number | null
  readonly analytics: 'read' | 'unavailable'
}

/** A page of a list of the admin API. */
export interface ListPage<entry> {
  readonly entries: readonly entry[]
  /** `after` of the next page; `null` on the last. */
  readonly next: number | null
  /** The length of the whole list; `null` if it could not be counted. */
  readonly total: number | null
}

/** An operation on the list of unknown outcomes. */
export interface StuckView {
  readonly id: string
  readonly tenant: string
  readonly operation: string
  readonly reason: string
  readonly correlationId: string
  readonly since: string
  readonly ageSeconds: number
  /** When the alarm tries next; `null`: never. */
  readonly nextAttemptAt: string | null
  /** It is being sent again: its next end is not known yet. */
  readonly isInProgress?: boolean
  /** Its object did not answer. */
  readonly isLost?: boolean
}

/** What the record alone does not say. */
export interface OperatorFacts {
  readonly isRunning: boolean
  readonly isRecovering: boolean
  readonly pendingEvents: number
}

/** Shows a record to an operator. */
export function toOperatorView(
  id: string,
  record: OperationRecord,
  facts: OperatorFacts,
): OperatorView {
  const { operation, tenant, state, correlationId, traceparent, fence, recovery } = record
  return {
    id,
    operation,
    tenant,
    ...(record.origin !== undefined && { origin: record.origin }),
    state,
    correlationId,
    traceparent,
    fence,
    createdAt: toTime(record.createdAt),
    claimedAt: toTime(record.claimedAt),
    ...timesOf(record, facts),
    isRunning: facts.isRunning,
    recovery: recovery.kind === 'self-probe' ? 'probe' : recovery.kind,
    isDurable: recovery.isDurable === true,
    isAccepted: record.isAccepted,
    attempts: record.attempts.map((attempt) => ({
      ...attempt,
      startedAt: toTime(attempt.startedAt),
      endedAt: attempt.endedAt === null ? null : toTime(attempt.endedAt),
    })),
    pendingEvents: facts.pendingEvents,
    timeline: toTimeline(record),
  }
}

function timesOf(record: OperationRecord, { isRecovering }: OperatorFacts) {
  if (record.state === 'in_progress') {
    const { owner } = record
    const lease = owner.kind === 'worker' && { leaseUntil: toTime(owner.leaseUntil) }
    return { owner: { kind: owner.kind, ...lease } }
  }
  const settledAt = toTime(record.settledAt)
  const expiry = record.expiresAt !== null && { expiresAt: toTime(record.expiresAt) }
  if (record.state === 'unknown') {
    const next = isRecovering && { nextAttemptAt: toTime(record.recoveryAt) }
    return { settledAt, ...expiry, reason: record.reason, ...next }
  }
  if (record.state === 'expired') {
    return { settledAt, ...expiry, ...(record.outcome && { outcome: record.outcome }) }
  }
  const { snapshot } = record
  const { bodyBytes, body } = snapshot
  const status = !isSealed(snapshot) && { status: snapshot.status }
  const result = { ...status, bodyBytes, body, isSealed: isSealed(snapshot) }
  return { settledAt, ...expiry, result }
}

function toTimeline(record: OperationRecord): TimelineEntry[] {
  const { createdAt, attempts } = record
  const calls = attempts.flatMap(({ fence, startedAt, endedAt, outcome, originStatus, fault }) => {
    const begun = { at: toTime(startedAt), what: 'claimed', detail: { fence } }
    if (endedAt === null) return [begun]
    const status = originStatus !== null && { originStatus }
    const evidence = { fence, outcome: outcome ?? 'unknown', ...status, ...(fault && { fault }) }
    return [begun, { at: toTime(endedAt), what: 'ended', detail: evidence }]
  })
  const created = { at: toTime(createdAt), what: 'created' }
  return [created, ...calls, ...toEnds(record)].toSorted((one, other) =>
    compareText(one.at, other.at),
  )
}

function toEnds(record: OperationRecord): TimelineEntry[] {
  if (record.state === 'in_progress') return []
  const settledAt = toTime(record.settledAt)
  if (record.state !== 'expired') return [{ at: settledAt, what: record.state }]
  const expired = { at: toTime(record.expiresAt), what: record.state }
  return [{ at: settledAt, what: record.outcome ?? 'settled' }, expired]
}
