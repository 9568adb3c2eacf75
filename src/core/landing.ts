import { type SnapshotHeaderRules, toSnapshotHeaders } from './headers.ts'
import type { OriginDirectives } from './origin-directives.ts'
import {
  classifyFault,
  classifyStatus,
  type OriginFault,
  type Outcome,
  type OutcomeRules,
} from './outcome.ts'
import type { Settlement } from './settle.ts'
import type { HeaderField, SnapshotHead } from './snapshot.ts'

/** What a call came back with: an answer, its body whole or a stream where it is over the limit. */
export type Reply =
  | {
      readonly kind: 'answer'
      readonly status: number
      /** End-to-end fields, without those that only the gateway writes. */
      readonly headers: readonly HeaderField[]
      readonly directives: OriginDirectives
      readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
    }
  | {
      readonly kind: 'fault'
      readonly fault: OriginFault
      /** Status, where headers came before the rest was lost. */
      readonly originStatus: number | null
    }

/** What a call that has ended leaves to the duplicates that waited for it. */
export type FlightEnd =
  | {
      readonly kind: 'response'
      readonly outcome: Outcome
      readonly status: number
      readonly headers: readonly HeaderField[]
      readonly corsOrigin: string | null
      readonly body: Uint8Array<ArrayBuffer>
    }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'fault'; readonly fault: OriginFault }
  /** The origin was asked what became of it, and could not tell. */
  | { readonly kind: 'undecided' }

/** Everything that follows from a reply: what the record says, and what those who wait get. */
export interface Landing {
  readonly outcome: Outcome
  readonly settlement: Settlement
  readonly end: FlightEnd
}

/** What of the policy decides that. */
export interface LandingRules {
  readonly outcomes: OutcomeRules
  readonly snapshot: SnapshotHeaderRules
  /** `Origin` of the request. */
  readonly corsOrigin: string | null
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

function landFault({ fault, originStatus }: Extract<Reply, { kind: 'fault' }>): Landing {
  const outcome = classifyFault(fault)
  const end = { kind: 'fault', fault } as const
  const evidence = { originStatus, fault }
  if (outcome === 'not_executed') {
    return { outcome, settlement: { outcome, coversAll: false, evidence }, end }
  }
  const reason = fault === 'timeout' ? 'origin-timeout' : 'connection-lost'
  return { outcome, settlement: { outcome: 'unknown', reason, evidence }, end }
}

function landAnswer(reply: Extract<Reply, { kind: 'answer' }>, rules: LandingRules): Landing {
  const { status, directives } = reply
  const evidence = { originStatus: status, fault: null }
  const outcome = classifyStatus(status, rules.outcomes, directives.outcome)
  const headers = toSnapshotHeaders(reply.headers, rules.snapshot)
  const isOmitted = reply.body instanceof ReadableStream || !directives.isStorable
  const body = reply.body instanceof ReadableStream ? new Uint8Array() : reply.body
  const { corsOrigin } = rules
  const response = { kind: 'response', outcome, status, headers, corsOrigin, body } as const
  switch (outcome) {
    case 'not_executed':
      return {
        outcome,
        settlement: { outcome, coversAll: directives.outcome !== null, evidence },
        end: response,
      }
    case 'unknown': {
      const settlement = { outcome, reason: 'origin-answered', evidence } as const
      return { outcome, settlement, end: response }
    }
    case 'succeeded':
    case 'failed': {
      const kept = body.byteLength === 0 ? 'none' : 'kept'
      const snapshot: SnapshotHead = {
        status,
        headers: isOmitted && !directives.isStorable ? [] : headers,
        corsOrigin,
        bodyBytes: isOmitted ? 0 : body.byteLength,
        body: isOmitted ? 'omitted' : kept,
      }
      const { retentionMs } = directives
      const settlement = { outcome, snapshot, retentionMs, evidence }
      return { outcome, settlement, end: isOmitted ? TOO_LARGE : response }
    }
  }
}

const TOO_LARGE: FlightEnd = { kind: 'too_large' }
