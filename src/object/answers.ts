import { type Answer, NO_TIME, type Timing } from '../core/answer.ts'
import { toReplayHeaders } from '../core/headers.ts'
import type { Landing } from '../core/landing.ts'
import type { Caller } from '../core/operation-guard.ts'
import type { Outcome } from '../core/outcome.ts'
import { doubtMs, type OperationRecord, type UnknownRecord } from '../core/record.ts'
import type { FlightEnd, Undecided } from '../core/reply.ts'
import type { LiveEnd } from './flight.ts'
import { splitBody } from './wire-body.ts'

/** What became of asking the origin about an operation whose outcome was unknown. */
export type Resolution =
  | { readonly kind: 'settled'; readonly landing: Landing }
  | { readonly kind: 'not_executed' }
  /** `isRefused`: the origin did not let in who asked. */
  | (Undecided & { readonly isRefused?: boolean })

/** Drops the body of an answer that nobody gets; it is recorded, or read to its end, all the same. */
export function dropBody(answer: Answer): void {
  if (!('response' in answer) || !(answer.response.body instanceof ReadableStream)) return
  answer.response.body.cancel().catch(() => {})
}

/** Answers a request whose operation the origin was asked about. */
export function answerResolution(
  resolution: Resolution,
  record: UnknownRecord,
  caller: Caller,
): Answer {
  const { operation, fence, reason, reauthorizePath } = record
  if (resolution.kind !== 'settled') {
    const until = resolution.kind === 'undecided' ? (resolution.until ?? null) : null
    const ageMs = doubtMs(record, Date.now()) ?? 0
    return { kind: 'held', fence, reason, policy: 'probe', until, ageMs }
  }
  const { landing } = resolution
  const joined = answerJoined(landing.end, record, NO_TIME, caller)
  if (joined.kind !== 'joined') return joined
  const outcome = landing.outcome === 'failed' ? 'failed' : 'succeeded'
  const { response } = joined
  const replayed = { kind: 'replayed', operation, response, outcome, fence } as const
  return { ...replayed, reauthorizePath, ageMs: 0, ...ifEnded(joined, joined.rememberedMs) }
}

/** Answers a request that has waited for the call of another. */
export function answerJoined(
  end: FlightEnd | LiveEnd,
  record: OperationRecord,
  timing: Timing,
  caller: Caller,
): Answer {
  const { fence, reauthorizePath, recovery } = record
  const ageMs = doubtMs(record, Date.now()) ?? 0
  // What is held can be asked about all the same, by a request whose route can.
  const policy = recovery.kind === 'resend' ? 'resend' : 'probe'
  switch (end.kind) {
    case 'too_large': {
      const rememberedMs = end.retentionMs ?? record.retentionMs
      const { kind, omittedFor } = end
      return { kind, fence, outcome: null, timing, rememberedMs, ...(omittedFor && { omittedFor }) }
    }
    case 'fault':
      return { ...end, kind: 'lost', fence, timing, work: null, ...ifUnknown(end, ageMs) }
    case 'step':
      return { kind: 'in_flight', fence, runningMs: Date.now() - record.claimedAt, timing }
    case 'undecided':
      return { kind: 'held', fence, reason: 'owner-lost', policy, until: end.until ?? null, ageMs }
    case 'live':
    case 'response': {
      const { status, outcome, corsOrigin } = end
      const origins = { stored: corsOrigin, current: caller.corsOrigin }
      const headers = toReplayHeaders(end.headers, origins)
      const body = end.kind === 'live' ? end.open() : splitBody(end.body)
      const bodyBytes = end.kind === 'live' ? end.bodyBytes : end.body.byteLength
      const response = { status, headers, body, bodyBytes }
      const joined = { kind: 'joined', response, outcome, fence, reauthorizePath, timing } as const
      const rememberedMs = end.retentionMs ?? record.retentionMs
      return { ...joined, ...ifUnknown(end, ageMs), ...ifEnded(end, rememberedMs) }
    }
  }
}

/** How long it is remembered, where it has come to its end. */
export function ifEnded(
  { outcome }: { readonly outcome: Outcome | null },
  rememberedMs: number | undefined,
): { readonly rememberedMs?: number } {
  const isEnded = outcome === 'succeeded' || outcome === 'failed'
  return isEnded && rememberedMs !== undefined ? { rememberedMs } : {}
}

/** How long it has been unknown, where it still is. */
export function ifUnknown(
  { outcome }: { readonly outcome: Outcome | null },
  ageMs: number,
): { readonly ageMs?: number } {
  return outcome === 'unknown' ? { ageMs } : {}
}
