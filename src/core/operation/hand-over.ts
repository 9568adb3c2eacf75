import type { ExpiredRecord, Memory, Moved, OperationRecord } from './record.ts'

/** Asks an object to hand an operation over that it may guard from an earlier placement. */
export interface HandOverQuestion {
  readonly operationId: string
  /** Name of the object that guards it from now on. */
  readonly to: string
  /**
   * How long the answer must hold: as long as the operation can be remembered. `null`: nothing is
   * handed over, for a question that claims nothing.
   */
  readonly memory: Memory | null
}

/** `here`: the operation stays where it is known. `unknown`: nobody has claimed it there. */
export type HandOver = Moved | { readonly kind: 'here' } | { readonly kind: 'unknown' }

/** The answer to a question, and the record that makes it last, if there is one to store. */
export interface HandOverDecision {
  readonly answer: HandOver
  readonly record: ExpiredRecord | null
}

/** A Worker of the earlier placement may run for so long after the last one of the later placement, in milliseconds. */
const MARGIN_MS = 86_400_000

/**
 * Decides whether an object hands an operation over: only if it knows nothing of it.
 *
 * @param record As of now; `null` if the operation is forgotten.
 */
export function decideHandOver(
  record: OperationRecord | null,
  { to, memory }: HandOverQuestion,
  now: number,
): HandOverDecision {
  const moved = movedOf(record)
  if (record !== null && moved === null) return { answer: { kind: 'here' }, record: null }
  const answer = moved ?? ({ kind: 'moved', to, at: now } as const)
  if (memory === null) return { answer: moved ?? { kind: 'unknown' }, record: null }
  const untilAt = record?.state === 'expired' ? record.expiresAt : 0
  const isLong = untilAt >= now + memory.retentionMs
  return { answer, record: isLong ? null : toMarker(answer, memory, now) }
}

/** The other object that guards an operation, if its record says so. */
export function movedOf(record: OperationRecord | null): Moved | null {
  return (record?.state === 'expired' && record.moved) || null
}

/**
 * The record of an operation that another object guards. It is a tombstone, so that a version that
 * does not know it executes nothing.
 */
function toMarker(moved: Moved, { retentionMs, tombstoneMs }: Memory, now: number): ExpiredRecord {
  return {
    state: 'expired',
    moved,
    settledAt: now,
    expiresAt: now + retentionMs + MARGIN_MS,
    retentionMs,
    tombstoneMs,
    operation: '',
    tenant: '',
    fingerprint: '',
    places: '',
    claimId: '',
    correlationId: '',
    traceparent: '',
    recovery: { kind: 'hold' },
    reauthorizePath: null,
    isAccepted: false,
    events: null,
    fence: 0,
    createdAt: now,
    claimedAt: now,
    attempts: [],
  }
}
