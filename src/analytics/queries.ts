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
  count,
  quantile,
  type Query,
  quote,
  ratio,
  type Scope,
  select,
  total,
  toSource,
} from './sql.ts'

const ROUTE = { route: 'blob1' } as const
const both = (...conditions: readonly string[]) => conditions.join(' AND ')

const IS_MISMATCH = hasVerdict('mismatch')
const IS_REUSE = `(${IS_DUPLICATE} OR ${IS_MISMATCH} OR ${IS_RETRIED})`
const IS_BLOCKED = both(IS_DUPLICATE, IS_ENFORCED)
const AT_UNKNOWN = `if(${IS_UNKNOWN}, ${SAID_AT}, 0)`
const UNKNOWN_AT = `max(${AT_UNKNOWN})`
const KNOWN_AT = `max(if(${IS_KNOWN}, ${SAID_AT}, 0))`
const AT_DATED = `if(${IS_DATED}, ${SAID_AT}, if(${IS_UNKNOWN}, 1, 0))`

/** Since when an operation is unknown that is unknown now, in seconds: an earlier life of its key does not count. */
export const UNKNOWN_SINCE = `argMax(${SAID_AT} - intDiv(double8, 1000), ${AT_DATED})`

/** Operations that ended, each once: by the request that executed it, or by the alarm. */
const ENDED = "(blob3 = 'executed' OR (blob3 = 'recovered' AND blob5 != 'not_executed'))"

const percentiles = (name: string, column: string) => ({
  [`${name}_p50_ms`]: quantile(0.5, column),
  [`${name}_p95_ms`]: quantile(0.95, column),
  [`${name}_p99_ms`]: quantile(0.99, column),
})

/**
 * Every named query.
 *
 * Columns are named by what they hold: `…_share` is between 0 and 1, `…_ms` and `…_seconds` are
 * durations, `…_at` and `bucket` are times, other numbers count.
 */
export const QUERIES = {
  /** One row: how the deployment does. */
  summary: {
    columns: {
      requests: count(IS_REQUEST),
      executed: count("blob3 = 'executed'"),
      replayed: count("blob3 = 'replayed'"),
      joined: count("blob3 = 'joined'"),
      blocked: count(both(IS_REQUEST, IS_BLOCKED)),
      mismatches: count("blob3 = 'mismatch'"),
      mismatch_share: ratio(count("blob3 = 'mismatch'"), count(IS_REQUEST)),
      keyless: count(both(IS_REQUEST, IS_KEYLESS)),
      keyless_share: ratio(count(both(IS_REQUEST, IS_KEYLESS)), count(IS_REQUEST)),
      unknown: count(both(IS_REQUEST, "blob3 = 'unknown'")),
      rejected: count("blob3 = 'rejected'"),
      store_errors: count(both(IS_REQUEST, IS_STORE_ERROR)),
      recoveries: count("blob3 = 'recovered'"),
      late_refused: count("blob9 = 'refused'"),
      observed: count(IS_OBSERVED),
    },
  },

  /** Requests whose key had been used before, per route. Observed ones count by what would have been. */
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

  /** Keys that named another request, by route and tenant, the most first. */
  conflicts: {
    columns: {
      ...ROUTE,
      tenant: 'blob6',
      mismatches: count("blob3 = 'mismatch'"),
      observed: count(both(IS_MISMATCH, IS_OBSERVED)),
      requests: ALL,
      mismatch_share: ratio(count("blob3 = 'mismatch'"), ALL),
    },
    where: IS_REQUEST,
    by: ['route', 'tenant'],
    having: 'mismatches + observed > 0',
    order: 'mismatches DESC, observed DESC, route, tenant',
    limit: 100,
  },

  /** Repeats that were kept from the origin, per route, and those that would have been. */
  duplicates: {
    columns: {
      ...ROUTE,
      blocked: count(IS_BLOCKED),
      replayed: count("blob3 = 'replayed'"),
      joined: count("blob3 = 'joined'"),
      in_progress: count("blob3 = 'in-progress'"),
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
      ...percentiles('in_progress', 'double6'),
      ...percentiles('claim', 'double5'),
    },
    where: both(IS_REQUEST, IS_ATTEMPT),
    by: ['route'],
    order: 'in_progress_p95_ms DESC, route',
  },

  /** Requests that could not be recorded, per route over time; those let through went unprotected. */
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

  /** Operations whose last word is `unknown`, with how long they have been so; the oldest first. */
  unknown: {
    columns: {
      operation_id: 'blob8',
      route: `argMax(blob1, ${AT_UNKNOWN})`,
      tenant: `argMax(blob6, ${AT_UNKNOWN})`,
      attempts: `argMax(double3, ${AT_UNKNOWN})`,
      first_seen_at: `toDateTime(${UNKNOWN_SINCE})`,
      last_seen_at: 'max(timestamp)',
      age_seconds: `toUnixTimestamp(now()) - ${UNKNOWN_SINCE}`,
    },
    where: both("blob8 != ''", IS_ENFORCED, `(${IS_UNKNOWN} OR ${IS_KNOWN})`),
    by: ['operation_id'],
    // Times are whole seconds: of two words in one second, the one that knows came last.
    having: `${UNKNOWN_AT} > ${KNOWN_AT}`,
    order: 'first_seen_at, operation_id',
    limit: 100,
  },

  /** What the alarm found out about operations that nobody knew the outcome of, per route. */
  recoveries: {
    columns: {
      ...ROUTE,
      recovered: count("blob3 = 'recovered'"),
      undecided: count("blob3 = 'unknown'"),
      succeeded: count("blob5 = 'succeeded'"),
      failed: count("blob5 = 'failed'"),
      not_executed: count("blob5 = 'not_executed'"),
      ...percentiles('age', 'double8'),
    },
    where: "blob2 = 'ALARM'",
    by: ['route'],
    order: 'undecided DESC, route',
  },

  /** Settles that came after their claim had been given up, per route. */
  late: {
    columns: {
      ...ROUTE,
      settles: ALL,
      late_taken: count("blob9 = 'late'"),
      late_refused: count("blob9 = 'refused'"),
      late_share: ratio(count("blob9 IN ('late', 'refused')"), ALL),
    },
    where: both(IS_REQUEST, "blob9 != ''"),
    by: ['route'],
    order: 'late_refused DESC, late_taken DESC, route',
  },

  /** Duplicates that waited for another request's call, per route; some waited in vain. */
  waiting: {
    columns: {
      ...ROUTE,
      waiters: ALL,
      joined: count("blob3 = 'joined'"),
      gave_up: count("blob3 = 'in-progress'"),
      waited_average_ms: ratio(total('double7'), ALL),
      ...percentiles('waited', 'double7'),
    },
    where: both(IS_REQUEST, "(blob3 = 'joined' OR (blob3 = 'in-progress' AND double7 > 0))"),
    by: ['route'],
    order: 'waiters DESC, route',
  },

  /** Calls of the origin for each operation that ended, and for each request, per route. */
  amplification: {
    columns: {
      ...ROUTE,
      origin_calls: total('double10'),
      operations: count(ENDED),
      requests: count(IS_REQUEST),
      calls_per_operation: ratio(total('double10'), count(ENDED)),
      calls_per_request: ratio(total('double10'), count(IS_REQUEST)),
    },
    // What goes through unprotected is not counted as a call.
    where: "blob2 NOT IN ('EVENT', 'ADMIN') AND blob3 != 'unprotected'",
    by: ['route'],
    order: 'calls_per_operation DESC, route',
  },

  /** What became of requests, over time. */
  traffic: {
    columns: {
      requests: ALL,
      executed: count("blob3 = 'executed'"),
      replayed: count("blob3 = 'replayed'"),
      joined: count("blob3 = 'joined'"),
      blocked: count(IS_BLOCKED),
      mismatches: count("blob3 = 'mismatch'"),
      unknown: count("blob3 = 'unknown'"),
      rejected: count("blob3 = 'rejected'"),
      unprotected: count("blob3 = 'unprotected'"),
      store_errors: count(IS_STORE_ERROR),
    },
    where: IS_REQUEST,
    by: ['bucket'],
    order: 'bucket',
  },

  /** What became of queue messages, per route. */
  messages: {
    columns: {
      ...ROUTE,
      messages: ALL,
      acked: count("blob12 = 'ack'"),
      retried: count("blob12 = 'retry'"),
      dead_lettered: count("blob12 = 'dead-letter'"),
    },
    where: "blob2 = 'QUEUE'",
    by: ['route'],
    order: 'dead_lettered DESC, route',
  },

  /** Deliveries of events from the outbox, by type of event. */
  deliveries: {
    columns: {
      event: 'blob1',
      deliveries: ALL,
      delivered: count("blob3 = 'delivered'"),
      retried: count("blob3 = 'retried'"),
      dead: count("blob3 = 'dead'"),
      ...percentiles('age', 'double8'),
    },
    where: "blob2 = 'EVENT'",
    by: ['event'],
    order: 'dead DESC, event',
  },
} as const satisfies Record<string, Query>

/** Name of a query that needs nothing but a scope. */
export type QueryName = keyof typeof QUERIES

/**
 * The SQL of a named query. Where it has a limit, one row more is asked for, so that `cut` tells
 * whether there are more.
 *
 * @throws {RangeError} When the dataset has no name that a dataset can have.
 */
export function toSql(name: QueryName, scope: Scope): string {
  const query: Query = QUERIES[name]
  const more = query.limit !== undefined && { limit: query.limit + 1 }
  return select({ ...query, ...more }, toSource(scope))
}

/** Rows as far as they are shown, and whether there are more. */
export interface Cut<row> {
  readonly rows: readonly row[]
  readonly isCut: boolean
}

/** Cuts the rows of a query to the limit that it has, where it has one. */
export function cut<row>(name: QueryName | 'timeline', rows: readonly row[]): Cut<row> {
  const limit = name === 'timeline' ? TIMELINE_LIMIT : (QUERIES[name] as Query).limit
  return cutTo(limit ?? Infinity, rows)
}

/** Cuts rows to so many. */
export function cutTo<row>(limit: number, rows: readonly row[]): Cut<row> {
  return { rows: rows.slice(0, limit), isCut: rows.length > limit }
}

/** Most points of a timeline that are shown at once. */
const TIMELINE_LIMIT = 1_000

/**
 * The points of a correlation id or a trace id, in order: requests, recoveries, deliveries and
 * changes; one more than `TIMELINE_LIMIT`, where there are so many.
 *
 * @param offset Points that were shown before.
 */
export function toCorrelationSql(correlationId: string, scope: Scope, offset = 0): string {
  return points(bears(correlationId), scope, offset)
}

/** The points of an operation, likewise. */
export function toOperationSql(operationId: string, scope: Scope, offset = 0): string {
  return points(`blob8 = ${quote(operationId)}`, scope, offset)
}

/** The ids of the operations that bear a correlation id or a trace id, in the order of their letters. */
export function toOperationIdsSql(
  correlationId: string,
  scope: Scope,
  { after, limit }: { readonly after: string; readonly limit: number },
): string {
  const where = both(bears(correlationId), `blob8 > ${quote(after)}`)
  const columns = { operation_id: 'blob8' }
  const ordered = { by: ['operation_id'], order: 'operation_id', limit: limit + 1 }
  return select({ columns, where, ...ordered }, toSource(scope))
}

const bears = (correlationId: string) =>
  `(blob7 = ${quote(correlationId)} OR blob13 = ${quote(correlationId)})`

function points(where: string, scope: Scope, offset: number): string {
  const limit = TIMELINE_LIMIT + 1
  return select({ columns: POINT, where, order: IN_ORDER, limit, offset }, toSource(scope))
}

const POINT = {
  seen_at: 'timestamp',
  route: 'blob1',
  method: 'blob2',
  status: 'blob3',
  would_be: 'blob10',
  http_status: 'double2',
  problem: 'blob4',
  outcome: 'blob5',
  settle: 'blob9',
  fence: 'double3',
  total_ms: 'double4',
  in_progress_ms: 'double6',
  waited_ms: 'double7',
  origin_calls: 'double10',
  key_source: 'blob11',
  disposition: 'blob12',
  tenant: 'blob6',
  correlation_id: 'blob7',
  trace_id: 'blob13',
  operation_id: 'blob8',
  sample_interval: '_sample_interval',
} as const

/** By every column, since times are whole seconds: a page must go on where the one before has ended. */
const IN_ORDER = ['seen_at', 'fence', ...Object.keys(POINT)]
  .filter((name, index, names) => names.indexOf(name) === index)
  .join(', ')
