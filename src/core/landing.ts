import { type SnapshotHeaderRules, toSnapshotHeaders } from './headers.ts'
import {
  classifyFault,
  classifyStatus,
  type OriginFault,
  type Outcome,
  type OutcomeDirective,
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
      readonly directive: OutcomeDirective | null
      readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>
    }
  | { readonly kind: 'fault'; readonly fault: OriginFault }

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

/** Decides what a reply means for its operation. */
export function decideLanding(reply: Reply, rules: LandingRules): Landing {
  return reply.kind === 'fault' ? landFault(reply.fault) : landAnswer(reply, rules)
}

function landFault(fault: OriginFault): Landing {
  const outcome = classifyFault(fault)
  const end = { kind: 'fault', fault } as const
  if (outcome === 'not_executed') return { outcome, settlement: { outcome }, end }
  const reason = fault === 'timeout' ? 'origin-timeout' : 'connection-lost'
  return { outcome, settlement: { outcome: 'unknown', reason, originStatus: null }, end }
}

function landAnswer(reply: Extract<Reply, { kind: 'answer' }>, rules: LandingRules): Landing {
  const { status } = reply
  const outcome = classifyStatus(status, rules.outcomes, reply.directive)
  const headers = toSnapshotHeaders(reply.headers, rules.snapshot)
  const isOver = reply.body instanceof ReadableStream
  const body = reply.body instanceof ReadableStream ? new Uint8Array() : reply.body
  const { corsOrigin } = rules
  const response = { kind: 'response', outcome, status, headers, corsOrigin, body } as const
  switch (outcome) {
    case 'not_executed':
      return { outcome, settlement: { outcome }, end: response }
    case 'unknown': {
      const settlement = { outcome, reason: 'origin-answered', originStatus: status } as const
      return { outcome, settlement, end: response }
    }
    case 'succeeded':
    case 'failed': {
      const kept = body.byteLength === 0 ? 'none' : 'kept'
      const snapshot: SnapshotHead = {
        status,
        headers,
        corsOrigin,
        bodyBytes: body.byteLength,
        body: isOver ? 'omitted' : kept,
      }
      return { outcome, settlement: { outcome, snapshot }, end: isOver ? TOO_LARGE : response }
    }
  }
}

const TOO_LARGE: FlightEnd = { kind: 'too_large' }
