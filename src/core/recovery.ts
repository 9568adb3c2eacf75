import type { LandingRules } from './reply.ts'

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
