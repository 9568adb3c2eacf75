import type { Context } from 'hono'

import { AnalyticsError, type Row } from '../analytics/client.ts'
import { cut, type QueryName, toSql } from '../analytics/queries.ts'
import { parseDuration } from '../core/duration.ts'
import { type DirectoryCount, directoryOf } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'
import { analyticsOf } from './analytics.ts'
import { bearerOf, matchSecret } from './bearer.ts'
import { toLabelValue } from './label-value.ts'
import { refusal } from './refusal.ts'

const DEFAULT_WINDOW_MS = 300_000
/** How long a source is waited for. */
const SOURCE_MS = 6_000

interface Gauge {
  readonly name: string
  readonly help: string
  readonly query: QueryName
  /** Labels by the column that they come from. */
  readonly labels: Readonly<Record<string, string>>
  /** Columns; where there are several, each has a label of its own. */
  readonly columns: readonly string[]
  readonly columnLabel?: string
}

const VERDICTS = [
  'executed',
  'replayed',
  'joined',
  'blocked',
  'mismatches',
  'keyless',
  'unknown',
  'rejected',
  'store_errors',
  'recoveries',
  'late_refused',
]

/** Everything is a gauge over a window: points are sampled and forgotten, so nothing counts up for ever. */
const GAUGES: readonly Gauge[] = [
  {
    name: 'hapax_requests',
    help: 'Requests on protected routes in the window.',
    query: 'summary',
    labels: {},
    columns: ['requests'],
  },
  {
    name: 'hapax_requests_by_verdict',
    help: 'Requests in the window by what became of them; a request can count under several.',
    query: 'summary',
    labels: {},
    columns: VERDICTS,
    columnLabel: 'verdict',
  },
  {
    name: 'hapax_route_requests',
    help: 'Requests in the window, per route.',
    query: 'keyless',
    labels: { route: 'route' },
    columns: ['requests'],
  },
  {
    name: 'hapax_route_keyless_requests',
    help: 'Requests without a key in the window, per route.',
    query: 'keyless',
    labels: { route: 'route' },
    columns: ['keyless'],
  },
  {
    name: 'hapax_conflicts',
    help: 'Keys that named another request in the window, per route and tenant.',
    query: 'conflicts',
    labels: { route: 'route', tenant: 'tenant' },
    columns: ['mismatches'],
  },
  {
    name: 'hapax_in_progress_milliseconds',
    help: 'Time in progress in the window, per route and quantile.',
    query: 'latency',
    labels: { route: 'route' },
    columns: ['in_progress_p50_ms', 'in_progress_p95_ms', 'in_progress_p99_ms'],
    columnLabel: 'quantile',
  },
  {
    name: 'hapax_messages',
    help: 'Queue messages in the window by what became of them, per route.',
    query: 'messages',
    labels: { route: 'route' },
    columns: ['acked', 'retried', 'dead_lettered'],
    columnLabel: 'disposition',
  },
  {
    name: 'hapax_event_deliveries',
    help: 'Deliveries of events in the window, per type of event.',
    query: 'deliveries',
    labels: { event: 'event' },
    columns: ['delivered', 'retried', 'dead'],
    columnLabel: 'result',
  },
]

/** What a source has said, or `null` where it has not answered. */
type Said<answer> = answer | null

/**
 * The figures as Prometheus reads them (text format 0.0.4), over the window that `?window=` names;
 * five minutes without it. Only for who brings `HAPAX_METRICS_TOKEN`; without one it does not exist.
 *
 * Each source stands for itself: where one does not answer, its gauges are left out and
 * `hapax_source_up` says so. The lists of the operator are exact and need no Analytics Engine.
 */
export async function servePrometheus(c: Context<GatewayEnv>): Promise<Response> {
  const { HAPAX_METRICS_TOKEN: token } = c.env
  if (!token) return c.text('Not found', 404)
  if ((await matchSecret(bearerOf(c) ?? '', [token])) === null) {
    c.header('WWW-Authenticate', 'Bearer realm="hapax metrics"')
    return refusal(c, 401, 'Send the metrics token as a bearer token.')
  }
  const windowMs = parseDuration(c.req.query('window') ?? DEFAULT_WINDOW_MS)
  if (windowMs === null || windowMs === 0) return refusal(c, 400, "window is such as '5m'.")
  const [counted, rowsOf] = await Promise.all([
    askSource('directory', () => directoryOf(c.env).count()),
    askQueries(c, windowMs),
  ])
  const lines = [
    ...GAUGES.flatMap((gauge) => toLines(gauge, rowsOf.get(gauge.query) ?? null)),
    ...(counted === null ? [] : toListLines(counted)),
    ...toUpLines([...rowsOf, ['directory', counted]]),
  ]
  const body = [...lines, ''].join('\n')
  return c.body(body, 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' })
}

async function askQueries(
  c: Context<GatewayEnv>,
  windowMs: number,
): Promise<ReadonlyMap<QueryName, Said<readonly Row[]>>> {
  const scope = { since: Date.now() - windowMs, dataset: c.env.HAPAX_DATASET }
  const query = async (name: QueryName): Promise<Said<readonly Row[]>> => {
    const client = analyticsOf(c.env, SOURCE_MS)
    if (client === null) return null
    return cut(name, await client.query(toSql(name, scope)).catch(toEmpty)).rows
  }
  const names = [...new Set(GAUGES.map((gauge) => gauge.query))]
  const ask = async (name: QueryName) => [name, await askSource(name, () => query(name))] as const
  return new Map(await Promise.all(names.map(ask)))
}

/** Asks a source for so long at most; Prometheus itself waits for ten seconds where nobody says otherwise. */
async function askSource<answer>(
  name: string,
  ask: () => Promise<Said<answer>>,
): Promise<Said<answer>> {
  try {
    return await inTime(ask(), SOURCE_MS)
  } catch (error) {
    logFault(`the figures of ${name} could not be read`, error)
    return null
  }
}

/** Before the first point there is no table. */
function toEmpty(error: unknown): Row[] {
  if (error instanceof AnalyticsError && error.kind === 'no-data') return []
  throw error
}

function toLines(
  { name, help, labels, columns, columnLabel }: Gauge,
  rows: Said<readonly Row[]>,
): readonly string[] {
  if (rows === null) return []
  const samples = rows.flatMap((row) => {
    const known = Object.entries(labels).map(([label, column]) => [label, String(row[column])])
    return columns.flatMap((column) => {
      const figure = row[column]
      // A figure that there is not is none, and not zero.
      if (typeof figure !== 'number') return []
      const own = columnLabel === undefined ? [] : [[columnLabel, toLabel(column)]]
      const text = [...known, ...own].map(
        ([label, value]) => `${label}="${toLabelValue(value ?? '')}"`,
      )
      return [`${name}${text.length > 0 ? `{${text.join(',')}}` : ''} ${figure}`]
    })
  })
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...samples]
}

/** `in_progress_p95_ms` is the quantile 0.95. */
const toLabel = (column: string) => {
  const [, percent] = /_p(\d+)_ms$/.exec(column) ?? []
  return percent === undefined ? column : `0.${percent.replace(/0$/, '')}`
}

/** Of the operator's lists: exact, not sampled. */
function toListLines({ stuck, letters, letterBytes, oldestAt }: DirectoryCount): readonly string[] {
  const ageSeconds = oldestAt === null ? 0 : Math.floor((Date.now() - oldestAt) / 1_000)
  return [
    '# HELP hapax_stuck_operations Operations on the list of unknown outcomes.',
    '# TYPE hapax_stuck_operations gauge',
    `hapax_stuck_operations ${stuck}`,
    '# HELP hapax_stuck_oldest_seconds Age of the oldest of them.',
    '# TYPE hapax_stuck_oldest_seconds gauge',
    `hapax_stuck_oldest_seconds ${ageSeconds}`,
    '# HELP hapax_dead_letters Dead letters that wait for an operator.',
    '# TYPE hapax_dead_letters gauge',
    `hapax_dead_letters ${letters}`,
    '# HELP hapax_dead_letter_bytes Bytes that they hold.',
    '# TYPE hapax_dead_letter_bytes gauge',
    `hapax_dead_letter_bytes ${letterBytes}`,
  ]
}

/** Whether each source has answered, so that a missing figure is not taken for zero. */
function toUpLines(sources: readonly (readonly [string, Said<unknown>])[]): readonly string[] {
  return [
    '# HELP hapax_source_up Whether the source of the figures has answered: 1, or 0 where they are left out.',
    '# TYPE hapax_source_up gauge',
    ...sources.map(
      ([source, said]) => `hapax_source_up{source="${source}"} ${said === null ? 0 : 1}`,
    ),
  ]
}
