import type { RequestFacts } from './request-facts.ts'

/** What is told of something that is no request. */
export const NO_FACTS = {
  httpStatus: 0,
  wouldBe: null,
  keySource: null,
  problem: null,
  outcome: null,
  claimMs: 0,
  originMs: 0,
  waitedMs: 0,
  requestBytes: 0,
  originCalls: 0,
  disposition: null,
  traceId: '',
  settle: null,
} as const satisfies Partial<RequestFacts>
