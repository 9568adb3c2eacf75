import type { Answer } from '../core/answer.ts'
import type { ClaimDecision } from '../core/claim.ts'
import type { Caller, Grant } from '../core/operation-guard.ts'
import { doubtMs, type UnknownRecord } from '../core/record.ts'
import { joinCall, type Orphaned } from './join-call.ts'
import type { ObjectContext } from './object-context.ts'
import { replay } from './replay.ts'

/** A claim that was not granted and needs nothing of the origin to be answered. */
type Repeat =
  | Exclude<ClaimDecision, { readonly kind: 'execute' | 'probe' }>
  | { readonly kind: 'store_fault' }

type Expired = Extract<ClaimDecision, { readonly kind: 'expired' }>

/** Answers a request from what is known of its operation. */
export async function answerRepeat(
  context: ObjectContext,
  operationId: string,
  decision: Repeat,
  caller: Caller,
): Promise<Answer | Orphaned> {
  switch (decision.kind) {
    case 'replay':
      return replay(context, operationId, decision.settled, caller)
    case 'in_flight':
      return joinCall(context, operationId, decision.running, caller)
    case 'mismatch':
      return { kind: 'mismatch', fence: decision.known.fence, places: decision.known.places }
    case 'expired':
      return toExpired(decision)
    case 'hold':
      return { kind: 'held', policy: 'hold', ...pickHeld(decision.record) }
    case 'store_fault':
      return decision
  }
}

/** Answers a request for a result that is kept no longer. */
export function toExpired({ known, isOther }: Omit<Expired, 'kind'>): Answer {
  return { kind: 'expired', fence: known?.fence ?? 0, outcome: known?.outcome ?? null, isOther }
}

/** What is told of an operation whose outcome is unknown. */
export function pickHeld(record: UnknownRecord) {
  const { fence, reason } = record
  return { fence, reason, ageMs: doubtMs(record, Date.now()) ?? 0 }
}

/** Decides on a request, and anew where it waited for a call that has lost its owner. */
export async function untilAnswered<answer extends Grant | Answer>(
  caller: Caller,
  decide: (caller: Caller) => Promise<answer | Orphaned>,
): Promise<answer> {
  for (let waitMs = caller.waitMs; ;) {
    // oxlint-disable-next-line no-await-in-loop -- one decision after the other
    const answer = await decide({ ...caller, waitMs })
    if (answer.kind !== 'orphaned') return withWait(answer, caller.waitMs - waitMs)
    waitMs = answer.leftMs
  }
}

/** Adds what a request has waited before it was decided on anew. */
function withWait<answer extends Grant | Answer>(answer: answer, waitedMs: number): answer {
  if (waitedMs === 0 || !('timing' in answer)) return answer
  const { timing } = answer
  return { ...answer, timing: { ...timing, waitedMs: timing.waitedMs + waitedMs } }
}
