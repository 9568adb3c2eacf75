import type { Context } from 'hono'

import { AnalyticsError, type Row } from '../analytics/client.ts'
import { cut, type QueryName, type RowOf, toSql } from '../analytics/queries.ts'
import { parseDuration } from '../core/duration.ts'
import { type DirectoryCount, directoryOf } from '../directory/directory-guard.ts'
import { bearerOf, matchSecret } from '../http/bearer-token.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'
import { analyticsOf } from './analytics-api.ts'
import { toLabelValue } from './label-value.ts'
import { refusal } from './refusal.ts'

const DEFAULT_WINDOW_MS = 300_000
/** The time that a source has to answer. */
const SOURCE_MS = 6_000

interface Gauge<query extends QueryName> {
  readonly name: string
  readonly help: string
  readonly query: query
  /** Columns of names, each of which is a label. */
  readonly by?: readonly (string & keyof RowOf<query>)[]
  /** Columns of figures. If there are several, `columnLabel` tells them apart. */
  readonly columns: readonly (string & keyof RowOf<query>)[]
  readonly columnLabel?: string
}

/** A gauge of any query. */
type AnyGauge = { readonly [name in QueryName]: Gauge<name> }[QueryName]

/** Everything is a gauge over a window: points are sampled and forgotten, so nothing counts up for ever. */
const GAUGES: readonly AnyGauge[] = [
  {
    name: 'hapax_requests',
    help: 'Requests on protected routes in the window.',
    query: 'summary',
    columns: ['requests'],
  },
  {
    name: 'hapax_requests_by_verdict',
    help: 'Requests in the window by what became of them; a request can count under several.',
    query: 'summary',
    columns: [
      ...(['executed', 'replayed', 'joined', 'blocked', 'mismatches', 'keyless'] as const),
      ...(['unknown', 'rejected', 'store_errors', 'recoveries', 'late_refused'] as const),
    ],
    columnLabel: 'verdict',
  },
  {
    name: 'hapax_route_requests',
    help: 'Requests in the window, per route.',
    query: 'keyless',
    by: ['route'],
    columns: ['requests'],
  },
  {
    name: 'hapax_route_keyless_requests',
    help: 'Requests without a key in the window, per route.',
    query: 'keyless',
    by: ['route'],
    columns: ['keyless'],
  },
  {
    name: 'hapax_conflicts',
    help: 'Keys that named another request in the window, per route and tenant.',
    query: 'conflicts',
    by: ['route', 'tenant'],
    columns: ['mismatches'],
  },
  {
    name: 'hapax_in_progress_milliseconds',
    help: 'Time in progress in the window, per route and quantile.',
    query: 'latency',
    by: ['route'],
    columns: ['in_progress_p50_ms', 'in_progress_p95_ms', 'in_progress_p99_ms'],
    columnLabel: 'quantile',
  },
  {
    name: 'hapax_messages',
    help: 'Queue messages in the window by what became of them, per route.',
    query: 'messages',
    by: ['route'],
    columns: ['acked', 'retried', 'dead_lettered'],
    columnLabel: 'disposition',
  },
  {
    name: 'hapax_event_deliveries',
    help: 'Deliveries of events in the window, per type of event.',
    query: 'deliveries',
    by: ['event'],
    columns: ['delivered', 'retried', 'dead'],
    columnLabel: 'result',
  },
]

/** The answer of a source; `null` if there is none. */
type Said<answer> = answer | null

/**
 * Serves the figures as Prometheus reads them (text format 0.0.4), over the window of `?window=`,
 * or five minutes. It needs `HAPAX_METRICS_TOKEN`; a deployment without that token answers 404.
 *
 * Each source stands for itself: if one does not answer, its gauges are left out and
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
    ...GAUGES.flatMap((gauge) => toGaugeLines(gauge, rowsOf.get(gauge.query) ?? null)),
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
    return client && cut(name, await client.query(toSql(name, scope)).catch(toEmpty)).rows
  }
  const names = [...new Set(GAUGES.map((gauge) => gauge.query))]
  const ask = async (name: QueryName) => [name, await askSource(name, () => query(name))] as const
  return new Map(await Promise.all(names.map(ask)))
}

/** Asks a source within its time, which is below the ten seconds that Prometheus waits by default. */
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

/** Lines of one metric; each sample is its labels and its figure. */
function toLines(
  name: string,
  help: string,
  samples: readonly (readonly [labels: Readonly<Record<string, string>>, figure: number])[],
): readonly string[] {
  const lines = samples.map(([labels, figure]) => {
    const text = Object.entries(labels).map(([label, value]) => `${label}="${toLabelValue(value)}"`)
    return `${name}${text.length > 0 ? `{${text.join(',')}}` : ''} ${figure}`
  })
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines]
}

function toGaugeLines(
  { name, help, by = [], columns, columnLabel }: AnyGauge,
  rows: Said<readonly Row[]>,
): readonly string[] {
  if (rows === null) return []
  const samples = rows.flatMap((row) => {
    const names = Object.fromEntries(by.map((label) => [label, String(row[label])]))
    return columns.flatMap((column) => {
      const figure = row[column]
      // A missing figure is left out. It is not zero.
      if (typeof figure !== 'number') return []
      const own = columnLabel && { [columnLabel]: toColumnLabel(column) }
      return [[{ ...names, ...own }, figure] as const]
    })
  })
  return toLines(name, help, samples)
}

/** `in_progress_p95_ms` is the quantile 0.95. */
const toColumnLabel = (column: string) => {
  const [, percent] = /_p(\d+)_ms$/.exec(column) ?? []
  return percent === undefined ? column : `0.${percent.replace(/0$/, '')}`
}

/** The operator's lists: exact, not sampled. */
function toListLines({ stuck, letters, letterBytes, oldestAt }: DirectoryCount): readonly string[] {
  const ageSeconds = oldestAt === null ? 0 : Math.floor((Date.now() - oldestAt) / 1_000)
  const gauges = [
    ['hapax_stuck_operations', 'Operations on the list of unknown outcomes.', stuck],
    ['hapax_stuck_oldest_seconds', 'Age of the oldest of them.', ageSeconds],
    ['hapax_dead_letters', 'Dead letters that wait for an operator.', letters],
    ['hapax_dead_letter_bytes', 'Bytes that they hold.', letterBytes],
  ] as const
  return gauges.flatMap(([name, help, figure]) => toLines(name, help, [[{}, figure]]))
}

/** Whether each source has answered, so that a missing figure is not taken for zero. */
function toUpLines(sources: readonly (readonly [string, Said<unknown>])[]): readonly string[] {
  return toLines(
    'hapax_source_up',
    'Whether the source of the figures has answered: 1, or 0 where they are left out.',
    sources.map(([source, said]) => [{ source }, said === null ? 0 : 1] as const),
  )
}
