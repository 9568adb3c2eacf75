import type { LandingRules } from '../outcome/reply.ts'

/** Bounds of one call. */
export interface CallBounds {
  /** Milliseconds until the headers, then for every silence between two chunks of the body. */
  readonly timeoutMs: number
  /** Bytes of body that are collected. */
  readonly limitBytes: number
}

/** What another call of the origin needs, without the first request. */
export interface RecoveryRules {
  readonly bounds: CallBounds
  readonly rules: LandingRules
  /** Whether the request is stored, so that it can be sent again without a client. */
  readonly isDurable: boolean
}

/**
 * What is done about an unknown outcome: hold it until an operator resolves it, ask the origin's status
 * resource, send it again to an origin that recognizes the key, or run a function again that asks first.
 */
export type Recovery =
  | { readonly kind: 'hold'; readonly isDurable?: false }
  | ({ readonly kind: 'hold' } & RecoveryRules)
  | ({
      readonly kind: 'probe'
      readonly path: string
      /** For how many milliseconds after a call was given up a "not executed" does not count. Default 0. */
      readonly graceMs?: number
    } & RecoveryRules)
  | ({ readonly kind: 'resend' } & RecoveryRules)
  /** Whoever executes it next finds out first whether it was executed. */
  | ({ readonly kind: 'self-probe' } & RecoveryRules)

/** The same without a stored request: only the next request is sent again. */
export function toUnstored(recovery: Recovery): Recovery {
  return recovery.kind === 'hold' ? { kind: 'hold' } : { ...recovery, isDurable: false }
}

/** How long a "not executed" of the status resource does not count, in milliseconds. */
export function graceMsOf(recovery: Recovery): number {
  return recovery.kind === 'probe' ? (recovery.graceMs ?? 0) : 0
}

const FIRST_RECOVERY_MS = 5_000
const LAST_RECOVERY_MS = 300_000

/** Milliseconds until the next recovery by alarm: first 5 s, doubling up to 5 minutes. */
export function recoveryDelayMs(recoveryCount: number): number {
  return Math.min(LAST_RECOVERY_MS, FIRST_RECOVERY_MS * 2 ** recoveryCount)
}

const LONGEST_WAIT_MS = 3_600_000

/** Bounds a pause that the origin asks for to an hour, and to the time for which results are kept. */
export function boundWaitMs(
  askedMs: number,
  { retentionMs }: { readonly retentionMs: number },
): number {
  return Math.min(askedMs, LONGEST_WAIT_MS, retentionMs)
}

/** Inserts an operation's names, percent-encoded, into a path at the origin. */
export function expandPath(
  template: string,
  names: { readonly key: string; readonly tenant: string; readonly id: string },
): string {
  return template.replace(/\{(key|tenant|id)\}/g, (_, name: keyof typeof names) =>
    encodeURIComponent(names[name]),
  )
}
