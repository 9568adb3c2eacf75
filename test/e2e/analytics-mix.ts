import type { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { NO_FACTS, type RequestFacts } from '../../src/core/request-facts.ts'
import { toDataPoint } from '../../src/metrics/data-point.ts'

declare global {
  /** As `toDataPoint` fills it: the types of the Workers runtime do not go with those of Node. */
  interface AnalyticsEngineDataPoint {
    indexes: string[]
    blobs: string[]
    doubles: number[]
  }
}

const MINUTE = 60_000

/** The start of a bucket, half an hour or a little more ago. Epoch milliseconds. */
export const BUCKET = Math.floor(Date.now() / (5 * MINUTE)) * 5 * MINUTE - 30 * MINUTE

/** All of the mix is later. Epoch milliseconds. */
export const SINCE = BUCKET - 10 * MINUTE

/** A point as the engine takes it. */
export interface MixedPoint extends ReturnType<typeof toDataPoint> {
  readonly timestamp: number
  readonly sampleInterval: number
}

interface Place {
  /** How many points it stands for. */
  readonly stands?: number
  /** Milliseconds after `BUCKET`. */
  readonly after?: number
}

/** What every request of the mix says, where it does not say otherwise. */
const REQUEST = {
  ...NO_FACTS,
  operation: 'POST /payments',
  method: 'POST',
  status: 'executed',
  httpStatus: 200,
  keySource: 'header',
  tenant: 'acme',
  correlationId: 'correlation-1',
  operationId: 'op-1',
  fence: 1,
  totalMs: 0,
  ageMs: 0,
} as const satisfies RequestFacts

/** Makes a point of a request. */
export function pointOf(
  facts: Partial<RequestFacts>,
  { stands = 1, after = MINUTE }: Place = {},
): MixedPoint {
  const point = toDataPoint({ ...REQUEST, ...facts })
  return { ...point, timestamp: BUCKET + after, sampleInterval: stands }
}

const ATTEMPT = { settle: 'taken', originCalls: 1 } as const
const OTHER = { operation: 'POST /tickets', tenant: 'beta' } as const
const SHADOW = { operation: 'PUT /shadow', tenant: 'beta', status: 'unprotected' } as const
const RESCUED = { operationId: 'op-4', correlationId: 'correlation-4' } as const
const LATER = 7 * MINUTE

/** Points of every kind, with counts that are easy to add up. */
export const MIX: readonly MixedPoint[] = [
  pointOf({ ...ATTEMPT, originMs: 100, claimMs: 10, totalMs: 110 }, { stands: 4, after: 0 }),
  pointOf({
    ...ATTEMPT,
    operationId: 'op-2',
    fence: 2,
    settle: 'late',
    originCalls: 2,
    originMs: 300,
    claimMs: 30,
  }),
  pointOf({ status: 'replayed', ageMs: 60_000 }, { stands: 2 }),
  pointOf({ status: 'joined', waitedMs: 80 }),
  pointOf({ status: 'in-progress', waitedMs: 200 }, { stands: 3 }),
  pointOf({ status: 'in-progress' }),
  pointOf({ status: 'expired' }),
  pointOf({ status: 'too-large' }),
  pointOf({ status: 'mismatch', problem: 'key-reused' }, { stands: 5, after: LATER }),
  pointOf(
    { ...ATTEMPT, operationId: 'op-3', status: 'unknown', originMs: 30_000, claimMs: 20 },
    { after: 2 * MINUTE },
  ),
  pointOf(
    { operationId: 'op-3', status: 'unknown', ageMs: MINUTE },
    { stands: 2, after: 3 * MINUTE },
  ),
  pointOf({ ...ATTEMPT, ...RESCUED, status: 'unknown', originMs: 40_000, claimMs: 20 }),
  pointOf(
    { status: 'rejected', keySource: 'none', operationId: null, problem: 'key-missing' },
    { stands: 7, after: LATER },
  ),
  pointOf({ status: 'store-fault', operationId: null }, { after: LATER }),
  pointOf({ status: 'unprotected' }, { stands: 2, after: LATER }),
  pointOf({ ...ATTEMPT, operationId: 'op-5', settle: 'refused', originMs: 900, claimMs: 50 }),

  pointOf({ ...OTHER, ...ATTEMPT, operationId: 'op-7', originMs: 5, claimMs: 5 }, { stands: 10 }),
  pointOf({ ...OTHER, status: 'mismatch', operationId: 'op-7' }),
  pointOf({ ...OTHER, status: 'not-executed', ...ATTEMPT, originCalls: 3, operationId: 'op-8' }),
  pointOf({ ...OTHER, status: 'unprotected', keySource: 'none', operationId: null }),

  pointOf({ ...SHADOW, wouldBe: 'executed', operationId: 'seen-1' }, { stands: 2 }),
  pointOf({ ...SHADOW, wouldBe: 'replayed', operationId: 'seen-1' }, { stands: 3 }),
  pointOf({ ...SHADOW, wouldBe: 'mismatch', operationId: 'seen-1' }),
  pointOf(
    { ...SHADOW, wouldBe: 'rejected', keySource: 'none', tenant: null, operationId: null },
    { stands: 4 },
  ),

  pointOf({
    method: 'QUEUE',
    operation: 'paid',
    operationId: 'op-q',
    ...ATTEMPT,
    disposition: 'ack',
  }),
  pointOf(
    {
      method: 'QUEUE',
      operation: 'paid',
      operationId: 'op-q',
      status: 'replayed',
      disposition: 'ack',
    },
    { stands: 2 },
  ),
  pointOf({ method: 'QUEUE', operation: 'paid', status: 'in-progress', disposition: 'retry' }),
  pointOf({ method: 'QUEUE', operation: 'paid', status: 'rejected', disposition: 'dead-letter' }),

  pointOf(
    {
      ...RESCUED,
      method: 'ALARM',
      status: 'recovered',
      outcome: 'succeeded',
      originCalls: 1,
      ageMs: 5_000,
    },
    { after: 2 * MINUTE },
  ),
  pointOf(
    {
      operationId: 'op-3',
      method: 'ALARM',
      status: 'unknown',
      outcome: 'unknown',
      originCalls: 1,
      ageMs: 2 * MINUTE,
    },
    { stands: 3, after: 4 * MINUTE },
  ),
  pointOf({ operationId: 'op-6', ...ATTEMPT, originMs: 10, claimMs: 10, status: 'unknown' }),
  pointOf({ operationId: 'op-6', method: 'ADMIN', status: 'resolved' }),
  pointOf(
    { ...RESCUED, method: 'EVENT', operation: 'paid.v1', status: 'delivered', ageMs: 20 },
    { stands: 3, after: LATER },
  ),
  pointOf({ method: 'EVENT', operation: 'paid.v1', status: 'retried', fence: 2, ageMs: 40 }),
  pointOf({ method: 'EVENT', operation: 'paid.v1', status: 'dead', fence: 3, ageMs: 90 }),

  // What no query may count: too old, and of a layout to come.
  pointOf({}, { stands: 1_000, after: -60 * MINUTE }),
  withLayout(2, pointOf({}, { stands: 1_000 })),
]

function withLayout(version: number, point: MixedPoint): MixedPoint {
  return { ...point, doubles: point.doubles.with(0, version) }
}

/** Writes points to an engine. */
export function write(
  engine: AnalyticsEngine,
  points: readonly object[],
  dataset = 'hapax',
): Promise<Response> {
  return fetch(`${engine.url}/points?dataset=${dataset}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(points),
  })
}
