import { toSharedHeaders, toSnapshotHeaders } from './headers.ts'
import type { OriginDirectives } from './origin-directives.ts'
import { classifyAnswer, classifyFault, type OriginFault, type Outcome } from './outcome.ts'
import type { UnknownReason } from './record.ts'
import type { AnswerHead, FlightEnd, LandingRules, Reply, Silence } from './reply.ts'
import type { Settlement } from './settle.ts'
import type { SnapshotHead } from './snapshot.ts'

/** Everything that follows from a reply: what the record says, and what those who wait get. */
export interface Landing {
  readonly outcome: Outcome
  readonly settlement: Settlement
  readonly end: FlightEnd
}

/** Decides what the result means that the origin's status resource holds. */
export function decideProbeLanding(
  reply: Extract<Reply, { kind: 'answer' }>,
  status: number,
  rules: LandingRules,
): Landing {
  const directives = { ...reply.directives, outcome: 'executed' } as const
  return decideLanding({ ...reply, status, directives }, rules)
}

/** Decides what a reply means for its operation. */
export function decideLanding(reply: Reply, rules: LandingRules): Landing {
  return reply.kind === 'fault' ? landFault(reply) : landAnswer(reply, rules)
}

const REASONS: Readonly<Record<OriginFault, UnknownReason>> = {
  'bad-status': 'origin-answered',
  'not-sent': 'connection-lost',
  lost: 'connection-lost',
  timeout: 'origin-timeout',
}

function landFault({ fault, originStatus, directive = null }: Silence): Landing {
  const outcome = classifyFault(fault, directive)
  const end = { kind: 'fault', fault, outcome, originStatus } as const
  const evidence = { originStatus, fault }
  if (outcome === 'not_executed') {
    return { outcome, settlement: { outcome, coversAll: directive !== null, evidence }, end }
  }
  return { outcome, settlement: { outcome: 'unknown', reason: REASONS[fault], evidence }, end }
}

function landAnswer(reply: Extract<Reply, { kind: 'answer' }>, rules: LandingRules): Landing {
  const { status } = reply
  const outcome = classifyAnswer(reply, rules.outcomes)
  const isOver = reply.body instanceof ReadableStream
  const body = reply.body instanceof ReadableStream ? new Uint8Array() : reply.body
  const { corsOrigin } = rules
  const headers = toSharedHeaders(reply.headers, rules.snapshot)
  const response = { kind: 'response', outcome, status, headers, corsOrigin, body } as const
  const evidence = { originStatus: status, fault: null }
  switch (outcome) {
    case 'not_executed': {
      const coversAll = reply.directives.outcome !== null
      return { outcome, settlement: { outcome, coversAll, evidence }, end: response }
    }
    case 'unknown': {
      const settlement = { outcome, reason: 'origin-answered', evidence } as const
      return { outcome, settlement, end: response }
    }
    case 'succeeded':
    case 'failed': {
      const bodyBytes = isOver ? null : body.byteLength
      const settlement = toSettlement(reply, outcome, bodyBytes, rules)
      const isKept = settlement.snapshot.body !== 'omitted'
      const memory = memoryOf(reply.directives)
      const end = isKept ? { ...response, ...memory } : toUnkept(reply.directives)
      return { outcome, settlement, end }
    }
  }
}

type SettledOutcome = 'succeeded' | 'failed'

/**
 * Decides what is kept of an answer whose operation was executed.
 *
 * @param bodyBytes Length of the body that is stored, or `null` where it is over the limit.
 */
export function toSettlement(
  { status, headers: fields, directives }: AnswerHead,
  outcome: SettledOutcome,
  bodyBytes: number | null,
  rules: LandingRules,
): Extract<Settlement, { outcome: SettledOutcome }> & { readonly snapshot: SnapshotHead } {
  const { isStorable, retentionMs } = directives
  const isOmitted = bodyBytes === null || !isStorable
  const kept = bodyBytes === 0 ? 'none' : 'kept'
  const snapshot: SnapshotHead = {
    status,
    headers: isStorable ? toSnapshotHeaders(fields, rules.snapshot) : [],
    corsOrigin: rules.corsOrigin,
    bodyBytes: isOmitted ? 0 : bodyBytes,
    body: isOmitted ? 'omitted' : kept,
    ...(!isStorable && { omittedFor: 'no-store' }),
  }
  return { outcome, snapshot, retentionMs, evidence: { originStatus: status, fault: null } }
}

/** What those who wait get of an answer that is not kept. */
export function toUnkept(directives: OriginDirectives): Extract<FlightEnd, { kind: 'too_large' }> {
  const reason = directives.isStorable ? {} : ({ omittedFor: 'no-store' } as const)
  return { kind: 'too_large', ...reason, ...memoryOf(directives) }
}

/** How long an answer is remembered, where the origin says so. */
export function memoryOf({ retentionMs }: OriginDirectives): { readonly retentionMs?: number } {
  return retentionMs === null ? {} : { retentionMs }
}
