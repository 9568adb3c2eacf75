import type { Evidence } from '../operation/attempts.ts'
import type { UnknownReason } from '../operation/record.ts'
import type { Settlement } from '../operation/settle.ts'
import type { SnapshotHead } from '../operation/snapshot.ts'
import { toSharedHeaders, toSnapshotHeaders } from '../wire/headers.ts'
import { type AnswerFacts, classifyAnswer, classifyFault, outcomeLeft } from './classify.ts'
import type { OriginDirectives } from './origin-directives.ts'
import type { Said } from './outcome-rules.ts'
import type { OriginFault, Outcome } from './outcome.ts'
import type { AnswerHead, EndedReply, FlightEnd, LandingRules, ReplyOf } from './reply.ts'

/** What a reply means for its operation: a part for the record, and one for waiting requests. */
export interface Landing {
  /** Of the operation, which another call may have left in doubt. */
  readonly outcome: Outcome
  readonly settlement: Settlement
  readonly end: Exclude<FlightEnd, { readonly kind: 'live' }>
}

/** Decides what a result from the status resource means. @param said What the route says about it. */
export function decideProbeLanding(
  reply: ReplyOf<'answer'>,
  status: number,
  rules: LandingRules,
  said: Said | null = null,
): Landing {
  const outcome = said === null ? ('executed' as const) : null
  const directives = { ...reply.directives, outcome }
  return decideLanding({ ...reply, status, directives, said }, rules)
}

/**
 * Decides what a reply means for its operation.
 *
 * @param isInDoubt Whether another call of the operation may have been executed.
 */
export function decideLanding(reply: EndedReply, rules: LandingRules, isInDoubt = false): Landing {
  const own = ownOutcomeOf(reply, rules, isInDoubt)
  const landing = reply.kind === 'fault' ? landFault(reply, own) : landAnswer(reply, own, rules)
  const { settlement, end } = landing
  const coversAll = settlement.outcome === 'not_executed' && settlement.coversAll
  const outcome = outcomeLeft(own, isInDoubt && !coversAll)
  return { outcome, settlement, end: 'outcome' in end ? { ...end, outcome } : end }
}

/** The outcome of the call itself. */
export function ownOutcomeOf(
  reply: ReplyOf<'fault'> | (AnswerFacts & { readonly kind: string }),
  rules: LandingRules,
  isInDoubt: boolean,
): Outcome {
  return 'status' in reply
    ? classifyAnswer(reply, rules.outcomes, isInDoubt)
    : classifyFault(reply.fault, reply.directive)
}

const REASONS: Readonly<Record<OriginFault, UnknownReason>> = {
  'bad-status': 'origin-answered',
  'not-sent': 'connection-lost',
  lost: 'connection-lost',
  timeout: 'origin-timeout',
}

function landFault(reply: ReplyOf<'fault'>, outcome: Outcome): Omit<Landing, 'outcome'> {
  const { fault, originStatus, directive = null } = reply
  const end = { kind: 'fault', fault, outcome, originStatus } as const
  const evidence = evidenceOf(reply)
  if (outcome === 'not_executed') {
    return { settlement: { outcome, coversAll: directive !== null, evidence }, end }
  }
  return { settlement: { outcome: 'unknown', reason: REASONS[fault], evidence }, end }
}

function landAnswer(
  reply: ReplyOf<'answer'>,
  outcome: Outcome,
  rules: LandingRules,
): Omit<Landing, 'outcome'> {
  const { status } = reply
  const isOver = reply.body instanceof ReadableStream
  const body = reply.body instanceof ReadableStream ? new Uint8Array() : reply.body
  const { corsOrigin } = rules
  const headers = toSharedHeaders(reply.headers, rules.snapshot)
  const response = { kind: 'response', outcome, status, headers, corsOrigin, body } as const
  const evidence = evidenceOf(reply)
  switch (outcome) {
    case 'not_executed': {
      const coversAll = reply.directives.outcome !== null
      const settlement = { outcome, coversAll, evidence, ...refusalOf(reply) } as const
      return { settlement, end: isForOne(reply, rules) ? { kind: 'step' } : response }
    }
    case 'unknown':
      return { settlement: { outcome, reason: 'origin-answered', evidence }, end: response }
    case 'succeeded':
    case 'failed': {
      const bodyBytes = isOver ? null : body.byteLength
      const settlement = toSettlement(reply, outcome, bodyBytes, rules)
      const isKept = settlement.snapshot.body !== 'omitted'
      const memory = memoryOf(reply.directives)
      const end = isKept ? { ...response, ...memory } : toUnkept(reply.directives)
      return { settlement, end }
    }
  }
}

/** The evidence that a reply leaves. */
export function evidenceOf(reply: ReplyOf<'fault'> | AnswerHead): Evidence {
  if ('fault' in reply) return { originStatus: reply.originStatus, fault: reply.fault }
  const { status, retryAfterMs = null } = reply
  return { originStatus: status, fault: null, ...(retryAfterMs !== null && { retryAfterMs }) }
}

/** Whether only the first client can act: HTTP refuses its session or credentials, or asks for input. */
function isForOne({ status, said }: AnswerHead, { rpcId }: LandingRules): boolean {
  return said?.isStep === true || (rpcId !== undefined && status >= 300)
}

const refusalOf = ({ said }: AnswerHead) =>
  said?.isRefusal === true ? ({ isRefusal: true } as const) : {}

/** Decides what a streamed answer means, at its end. @param bodyBytes As for `toSettlement`. */
export function landStreamed(
  head: AnswerHead,
  bodyBytes: number | null,
  rules: LandingRules,
  isInDoubt: boolean,
): Settlement {
  const reply = { kind: 'answer', ...head, body: new Uint8Array() } as const
  const outcome = ownOutcomeOf(reply, rules, isInDoubt)
  return outcome === 'succeeded' || outcome === 'failed'
    ? toSettlement(head, outcome, bodyBytes, rules)
    : landAnswer(reply, outcome, rules).settlement
}

type SettledOutcome = 'succeeded' | 'failed'

/**
 * Decides what is stored of the answer to an executed operation.
 *
 * @param bodyBytes Length of the stored body, or `null` if it is over the limit.
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

/** The end of a call, for waiting requests, if its answer is not kept. */
export function toUnkept(directives: OriginDirectives): Extract<FlightEnd, { kind: 'too_large' }> {
  const reason = directives.isStorable ? {} : ({ omittedFor: 'no-store' } as const)
  return { kind: 'too_large', ...reason, ...memoryOf(directives) }
}

/** How long an answer is remembered, if the origin says so. */
export function memoryOf({ retentionMs }: OriginDirectives): { readonly retentionMs?: number } {
  return retentionMs === null ? {} : { retentionMs }
}
