import { column, type NumberName } from '../core/metric-columns.ts'
import {
  hasVerdict,
  IS_ATTEMPT,
  IS_DATED,
  IS_DUPLICATE,
  IS_ENFORCED,
  IS_HELD,
  IS_KEYLESS,
  IS_KNOWN,
  IS_LET_THROUGH,
  IS_OBSERVED,
  IS_REQUEST,
  IS_RETRIED,
  IS_STORE_ERROR,
  IS_UNKNOWN,
  IS_UNREADABLE,
  SAID_AT,
} from './conditions.ts'
import {
  ALL,
  both,
  count,
  either,
  is,
  isNot,
  quantile,
  type Query,
  quote,
  ratio,
  type Scope,
  select,
  total,
  toSource,
} from './sql.ts'

const ROUTE = { route: column.operation } as const

const IS_MISMATCH = hasVerdict('mismatch')
const IS_REUSE = `(${IS_DUPLICATE} OR ${IS_MISMATCH} OR ${IS_RETRIED})`
const IS_BLOCKED = both(IS_DUPLICATE, IS_ENFORCED)
const AT_UNKNOWN = `if(${IS_UNKNOWN}, ${SAID_AT}, 0)`
const UNKNOWN_AT = `max(${AT_UNKNOWN})`
const KNOWN_AT = `max(if(${IS_KNOWN}, ${SAID_AT}, 0))`
const AT_DATED = `if(${IS_DATED}, ${SAID_AT}, if(${IS_UNKNOWN}, 1, 0))`

/** Since when an operation has been unknown, in seconds. Earlier operations of the same key do not count. */
export const UNKNOWN_SINCE = `argMax(${SAID_AT} - intDiv(${column.ageMs}, 1000), ${AT_DATED})`

/** Ended operations, each counted once: by the request that executed it, or by the alarm. */
const ENDED = either(
  is('status', 'executed'),
  `(${both(is('status', 'recovered'), isNot('outcome', 'not_executed'))})`,
)

const HAS_WAITED_IN_VAIN = `(${is('status', 'in-progress')} AND ${column.waitedMs} > 0)`

type Percentiles<name extends string> = Readonly<
  Record<`${name}_${'p50' | 'p95' | 'p99'}_ms`, string>
>

const percentiles = <name extends string>(name: name, of: NumberName) =>
  ({
    [`${name}_p50_ms`]: quantile(0.5, of),
    [`${name}_p95_ms`]: quantile(0.95, of),
    [`${name}_p99_ms`]: quantile(0.99, of),
  }) as Percentiles<name>

/**
 * All named queries.
 *
 * Names of columns tell the unit: `…_share` is between 0 and 1, `…_ms` and `…_seconds` are durations,
 * `…_at` and `bucket` are times, and other numbers are counts.
 */
export const QUERIES = {
  /** One row for the whole deployment. */
  summary: {
    columns: {
      requests: count(IS_REQUEST),
      executed: count(is('status', 'executed')),
      replayed: count(is('status', 'replayed')),
      joined: count(is('status', 'joined')),
      blocked: count(both(IS_REQUEST, IS_BLOCKED)),
      mismatches: count(is('status', 'mismatch')),
      mismatch_share: ratio(count(is('status', 'mismatch')), count(IS_REQUEST)),
      keyless: count(both(IS_REQUEST, IS_KEYLESS)),
      keyless_share: ratio(count(both(IS_REQUEST, IS_KEYLESS)), count(IS_REQUEST)),
      unknown: count(both(IS_REQUEST, is('status', 'unknown'))),
      rejected: count(is('status', 'rejected')),
      store_errors: count(both(IS_REQUEST, IS_STORE_ERROR)),
      recoveries: count(is('status', 'recovered')),
      late_refused: count(is('settle', 'refused')),
      observed: count(IS_OBSERVED),
    },
  },

  /** Requests whose key was used before, per route. Observed ones count by their would-be status. */
  reuse: {
    columns: {
      ...ROUTE,
      requests: ALL,
      reused: count(IS_REUSE),
      reused_share: ratio(count(IS_REUSE), ALL),
      replayed: count(hasVerdict('replayed')),
      joined: count(hasVerdict('joined')),
      in_progress: count(hasVerdict('in-progress')),
      mismatches: count(IS_MISMATCH),
      held: count(both(IS_HELD, `NOT ${IS_RETRIED}`)),
      retried: count(IS_RETRIED),
      unreadable: count(IS_UNREADABLE),
      observed: count(both(IS_REUSE, IS_OBSERVED)),
    },
    where: IS_REQUEST,
    by: ['route'],
    order: 'reused DESC, route',
  },

  /** Keys that named another request, by route and tenant, highest count first. */
  conflicts: {
    columns: {
      ...ROUTE,
      tenant: column.tenant,
      mismatches: count(is('status', 'mismatch')),
      observed: count(both(IS_MISMATCH, IS_OBSERVED)),
      requests: ALL,
      mismatch_share: ratio(count(is('status', 'mismatch')), ALL),
    },
    where: IS_REQUEST,
    by: ['route', 'tenant'],
    having: 'mismatches + observed > 0',
    order: 'mismatches DESC, observed DESC, route, tenant',
    limit: 100,
  },

  /** Repeats that were not sent to the origin, per route, including those that would not have been. */
  duplicates: {
    columns: {
      ...ROUTE,
      blocked: count(IS_BLOCKED),
      replayed: count(is('status', 'replayed')),
      joined: count(is('status', 'joined')),
      in_progress: count(is('status', 'in-progress')),
      held: count(IS_HELD),
      unreadable: count(both(IS_UNREADABLE, IS_ENFORCED)),
      observed: count(both(IS_DUPLICATE, IS_OBSERVED)),
    },
    where: both(IS_REQUEST, IS_DUPLICATE),
    by: ['route'],
    order: 'blocked DESC, route',
  },

  /** Time in `in_progress` and time to the claim, of requests that made an attempt, per route. */
  latency: {
    columns: {
      ...ROUTE,
      attempts: ALL,
      ...percentiles('in_progress', 'originMs'),
      ...percentiles('claim', 'claimMs'),
    },
    where: both(IS_REQUEST, IS_ATTEMPT),
    by: ['route'],
    order: 'in_progress_p95_ms DESC, route',
  },

  /** Requests that could not be recorded, per route over time, including those forwarded without protection. */
  stores: {
    columns: {
      ...ROUTE,
      store_errors: ALL,
      let_through: count(IS_LET_THROUGH),
    },
    where: both(IS_REQUEST, IS_STORE_ERROR),
    by: ['bucket', 'route'],
    order: 'bucket, route',
  },

  /** Requests without a key and their share, per route. */
  keyless: {
    columns: {
      ...ROUTE,
      requests: ALL,
      keyless: count(IS_KEYLESS),
      keyless_share: ratio(count(IS_KEYLESS), ALL),
      rejected: count(both(IS_KEYLESS, hasVerdict('rejected'))),
      observed: count(both(IS_KEYLESS, IS_OBSERVED)),
    },
    where: IS_REQUEST,
    by: ['route'],
    order: 'keyless DESC, route',
  },

  /** Operations whose outcome is unknown, with their age, oldest first. */
  unknown: {
    columns: {
      operation_id: column.operationId,
      route: `argMax(${column.operation}, ${AT_UNKNOWN})`,
      tenant: `argMax(${column.tenant}, ${AT_UNKNOWN})`,
      attempts: `argMax(${column.fence}, ${AT_UNKNOWN})`,
      first_seen_at: `toDateTime(${UNKNOWN_SINCE})`,
      last_seen_at: 'max(timestamp)',
      age_seconds: `toUnixTimestamp(now()) - ${UNKNOWN_SINCE}`,
    },
    where: both(isNot('operationId', ''), IS_ENFORCED, `(${IS_UNKNOWN} OR ${IS_KNOWN})`),
    by: ['operation_id'],
    // Times are whole seconds. Of two points in one second, the one with a known outcome came last.
    having: `${UNKNOWN_AT} > ${KNOWN_AT}`,
    order: 'first_seen_at, operation_id',
    limit: 100,
  },

  /** Results of recoveries by the alarm, per route. */
  recoveries: {
    columns: {
      ...ROUTE,
      recovered: count(is('status', 'recovered')),
      undecided: count(is('status', 'unknown')),
      succeeded: count(is('outcome', 'succeeded')),
      failed: count(is('outcome', 'failed')),
      not_executed: count(is('outcome', 'not_executed')),
      ...percentiles('age', 'ageMs'),
    },
    where: is('method', 'ALARM'),
    by: ['route'],
    order: 'undecided DESC, route',
  },

  /** Settles that came after their claim was given up, per route. */
  late: {
    columns: {
      ...ROUTE,
      settles: ALL,
      late_taken: count(is('settle', 'late')),
      late_refused: count(is('settle', 'refused')),
      late_share: ratio(count(is('settle', 'late', 'refused')), ALL),
    },
    where: both(IS_REQUEST, isNot('settle', '')),
    by: ['route'],
    order: 'late_refused DESC, late_taken DESC, route',
  },

  /** Duplicates that waited for the call of another request, per route, with or without a result. */
  waiting: {
    columns: {
      ...ROUTE,
      waiters: ALL,
      joined: count(is('status', 'joined')),
      gave_up: count(is('status', 'in-progress')),
      waited_average_ms: ratio(total('waitedMs'), ALL),
      ...percentiles('waited', 'waitedMs'),
    },
    where: both(IS_REQUEST, either(is('status', 'joined'), HAS_WAITED_IN_VAIN)),
    by: ['route'],
    order: 'waiters DESC, route',
  },

  /** Calls of the origin per ended operation and per request, by route. */
  amplification: {
    columns: {
      ...ROUTE,
      origin_calls: total('originCalls'),
      operations: count(ENDED),
      requests: count(IS_REQUEST),
      calls_per_operation: ratio(total('originCalls'), count(ENDED)),
      calls_per_request: ratio(total('originCalls'), count(IS_REQUEST)),
    },
    // Forwarding without protection is not counted as a call.
    where: both(isNot('method', 'EVENT', 'ADMIN'), isNot('status', 'unprotected')),
    by: ['route'],
    order: 'calls_per_operation DESC, route',
  },

  /** Requests by status, over time. */
  traffic: {
    columns: {
      requests: ALL,
      executed: count(is('status', 'executed')),
      replayed: count(is('status', 'replayed')),
      joined: count(is('status', 'joined')),
      blocked: count(IS_BLOCKED),
      mismatches: count(is('status', 'mismatch')),
      unknown: count(is('status', 'unknown')),
      rejected: count(is('status', 'rejected')),
      unprotected: count(is('status', 'unprotected')),
      store_errors: count(IS_STORE_ERROR),
    },
    where: IS_REQUEST,
    by: ['bucket'],
    order: 'bucket',
  },

  /** Queue messages by disposition, per route. */
  messages: {
    columns: {
      ...ROUTE,
      messages: ALL,
      acked: count(is('disposition', 'ack')),
      retried: count(is('disposition', 'retry')),
      dead_lettered: count(is('disposition', 'dead-letter')),
    },
    where: is('method', 'QUEUE'),
    by: ['route'],
    order: 'dead_lettered DESC, route',
  },

  /** Deliveries of events from the outbox, by type of event. */
  deliveries: {
    columns: {
      event: column.operation,
      deliveries: ALL,
      delivered: count(is('status', 'delivered')),
      retried: count(is('status', 'retried')),
      dead: count(is('status', 'dead')),
      ...percentiles('age', 'ageMs'),
    },
    where: is('method', 'EVENT'),
    by: ['event'],
    order: 'dead DESC, event',
  },
} as const satisfies Record<string, Query>

/** Name of a query. */
export type QueryName = keyof typeof QUERIES

/** A row of a query, without the bucket of a time series. */
export type RowOf<name extends QueryName> = {
  readonly [column in keyof (typeof QUERIES)[name]['columns']]: column extends TextColumn
    ? string
    : number
}

/** Columns that are not numbers: names and times. */
type TextColumn = 'route' | 'tenant' | 'event' | 'operation_id' | `${string}_at`

/**
 * The SQL of a named query. If it has a limit, one more row is requested, so that `cut` can tell
 * whether there are more.
 *
 * @throws {RangeError} If the name of the dataset is invalid.
 */
export function toSql(name: QueryName, scope: Scope): string {
  const query: Query = QUERIES[name]
  const more = query.limit !== undefined && { limit: query.limit + 1 }
  return select({ ...query, ...more }, toSource(scope))
}

/** The rows to show, and whether there are more. */
export interface Cut<row> {
  readonly rows: readonly row[]
  readonly isCut: boolean
}

/** Cuts rows to the limit of their query, if it has one. */
export function cut<row>(name: QueryName | 'timeline', rows: readonly row[]): Cut<row> {
  const limit = name === 'timeline' ? TIMELINE_LIMIT : (QUERIES[name] as Query).limit
  return cutTo(limit ?? Infinity, rows)
}

/** Cuts rows to a limit. */
export function cutTo<row>(limit: number, rows: readonly row[]): Cut<row> {
  return { rows: rows.slice(0, limit), isCut: rows.length > limit }
}

/** Maximum number of points on one page of a timeline. */
const TIMELINE_LIMIT = 1_000

/**
 * The points of a correlation id or trace id, in order: requests, recoveries, deliveries and changes,
 * up to one more than `TIMELINE_LIMIT`.
 *
 * @param offset Number of points on the previous pages.
 */
export function toCorrelationSql(correlationId: string, scope: Scope, offset = 0): string {
  return points(bears(correlationId), scope, offset)
}

/** The points of an operation, in the same way. */
export function toOperationSql(operationId: string, scope: Scope, offset = 0): string {
  return points(`${column.operationId} = ${quote(operationId)}`, scope, offset)
}

/** The ids of the operations with a correlation id or trace id, sorted. */
export function toOperationIdsSql(
  correlationId: string,
  scope: Scope,
  { after, limit }: { readonly after: string; readonly limit: number },
): string {
  const where = both(bears(correlationId), `${column.operationId} > ${quote(after)}`)
  const columns = { operation_id: column.operationId }
  const ordered = { by: ['operation_id'], order: 'operation_id', limit: limit + 1 }
  return select({ columns, where, ...ordered }, toSource(scope))
}

const bears = (correlationId: string) =>
  `(${column.correlationId} = ${quote(correlationId)} OR ${column.traceId} = ${quote(correlationId)})`

function points(where: string, scope: Scope, offset: number): string {
  const limit = TIMELINE_LIMIT + 1
  return select({ columns: POINT, where, order: IN_ORDER, limit, offset }, toSource(scope))
}

const POINT = {
  seen_at: 'timestamp',
  route: column.operation,
  method: column.method,
  status: column.status,
  would_be: column.wouldBe,
  http_status: column.httpStatus,
  problem: column.problem,
  outcome: column.outcome,
  settle: column.settle,
  fence: column.fence,
  total_ms: column.totalMs,
  in_progress_ms: column.originMs,
  waited_ms: column.waitedMs,
  origin_calls: column.originCalls,
  key_source: column.keySource,
  disposition: column.disposition,
  tenant: column.tenant,
  correlation_id: column.correlationId,
  trace_id: column.traceId,
  operation_id: column.operationId,
  sample_interval: '_sample_interval',
} as const

/** Sorted by all columns, because times are whole seconds and pages must not overlap. */
const IN_ORDER = ['seen_at', 'fence', ...Object.keys(POINT)]
  .filter((name, index, names) => names.indexOf(name) === index)
  .join(', ')
