import { type Answer, NO_TIME, type Timing } from '../core/answer.ts'
import { toReplayHeaders } from '../core/headers.ts'
import type { FlightEnd, Landing } from '../core/landing.ts'
import type { UnknownRecord } from '../core/record.ts'
import type { Caller } from './operation-guard.ts'
import { splitBody } from './wire-body.ts'

/** What became of asking the origin about an operation whose outcome was unknown. */
export type Resolution =
  | { readonly kind: 'settled'; readonly landing: Landing }
  | { readonly kind: 'not_executed' }
  | { readonly kind: 'undecided' }

/** Answers a request whose operation the origin was asked about. */
export function answerResolution(
  resolution: Resolution,
  { fence, reason }: UnknownRecord,
  caller: Caller,
): Answer {
  if (resolution.kind !== 'settled') return { kind: 'held', fence, reason }
  const { landing } = resolution
  const joined = answerJoined(landing.end, fence, NO_TIME, caller)
  if (joined.kind !== 'joined') return joined
  const outcome = landing.outcome === 'failed' ? 'failed' : 'succeeded'
  return { kind: 'replayed', response: joined.response, outcome, fence, ageMs: 0 }
}

/** Answers a request that has waited for the call of another. */
export function answerJoined(
  end: FlightEnd,
  fence: number,
  timing: Timing,
  caller: Caller,
): Answer {
  switch (end.kind) {
    case 'too_large':
      return { kind: 'too_large', fence, timing }
    case 'fault':
      return { kind: 'lost', fault: end.fault, fence, timing, work: null }
    case 'undecided':
      return { kind: 'held', fence, reason: 'owner-lost' }
    case 'response': {
      const { status, outcome, corsOrigin } = end
      const origins = { stored: corsOrigin, current: caller.corsOrigin }
      const headers = toReplayHeaders(end.headers, origins)
      const response = { status, headers, body: splitBody(end.body) }
      return { kind: 'joined', response, outcome, fence, timing }
    }
  }
}
