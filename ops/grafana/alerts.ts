import {
  hasVerdict,
  IS_KEYLESS,
  IS_REQUEST,
  IS_STORE_ERROR,
} from '../../src/analytics/conditions.ts'
import { QUERIES, UNKNOWN_SINCE } from '../../src/analytics/queries.ts'
import { ALL, both, is } from '../../src/analytics/sql.ts'
import { column } from '../../src/core/metric-columns.ts'
import { PLUGIN, toAlertSql, toModel } from './query.ts'

/** `uid` of the data source that the rules ask. */
const DATASOURCE_UID = 'hapax-analytics'
const MINUTE = 60
const UNKNOWN_FOR_SECONDS = 15 * MINUTE
/** As long as the platform keeps points: what is held leaves none while nobody asks for it. */
const LONGEST = 92 * 24 * 60 * MINUTE

/** A rule: series of numbers, added up over a range, and what must not be true of their sums. */
interface Rule {
  readonly uid: string
  readonly title: string
  readonly severity: 'warning' | 'critical'
  readonly summary: string
  readonly description: string
  /** How far back, in seconds. */
  readonly range: number
  /** SQL of each series, by the name that its sum has in `fires`. */
  readonly series: Readonly<Record<string, string>>
  readonly fires: string
  /** How long it has to be true. */
  readonly for: string
}

/** Requests that meet a condition, over time. */
function requests(condition: string | null): string {
  const where = condition === null ? IS_REQUEST : `${IS_REQUEST} AND ${condition}`
  return toAlertSql({ columns: { requests: ALL }, where, by: ['bucket'], order: 'bucket' })
}

/** Operations that have been unknown for a while, each at the time since when it is. */
function stuck(): string {
  const { where, having } = QUERIES.unknown
  const operations = toAlertSql({
    columns: { operation_id: column.operationId, since: UNKNOWN_SINCE },
    where,
    by: ['operation_id'],
    having,
  })
  return [
    'SELECT intDiv(since, 60) * 60 * 1000 AS t, count() AS operations',
    `FROM (\n${operations}\n)`,
    `WHERE since < $to - ${UNKNOWN_FOR_SECONDS}`,
    'GROUP BY t',
    'ORDER BY t',
  ].join('\n')
}

const RULES: readonly Rule[] = [
  {
    uid: 'hapax-keyless',
    title: 'Requests without a key on a route that requires one',
    severity: 'warning',
    summary: 'A client sends requests without an idempotency key, and they are rejected.',
    description:
      'To find the route, run hapax analytics keyless --since 1h. Retries of this client are not safe.',
    range: 15 * MINUTE,
    series: { A: requests(both(IS_KEYLESS, is('status', 'rejected'))) },
    fires: '$SumA > 0',
    for: '0s',
  },
  {
    uid: 'hapax-mismatch',
    title: 'Keys are reused for different requests',
    severity: 'warning',
    summary: 'More than 1 % of the requests use the key of a different request.',
    description:
      'To find the client, run hapax analytics conflicts --since 1h. Its keys are not unique.',
    range: 60 * MINUTE,
    series: { A: requests(hasVerdict('mismatch')), B: requests(null) },
    // A few requests make a share, but no trend.
    fires: '$SumB >= 100 && $SumA / $SumB > 0.01',
    for: '5m',
  },
  {
    uid: 'hapax-unknown',
    title: 'Operations with an unknown outcome',
    severity: 'critical',
    summary: 'The outcome of an operation has been unknown for more than 15 minutes.',
    description:
      'To find it, run hapax analytics unknown. Check with the origin, then resolve or release it.',
    range: LONGEST,
    series: { A: stuck() },
    fires: '$SumA > 0',
    for: '0s',
  },
  {
    uid: 'hapax-store',
    title: 'Operations cannot be recorded',
    severity: 'critical',
    summary: 'The store failed. Requests are rejected, or forwarded without protection.',
    description: 'To find the routes, run hapax analytics stores --since 1h.',
    range: 5 * MINUTE,
    series: { A: requests(IS_STORE_ERROR) },
    fires: '$SumA > 0',
    for: '1m',
  },
]

/** The alert rules, as Grafana provisions them from a file. */
export function toAlerts() {
  return {
    apiVersion: 1,
    groups: [
      toGroup('hapax', '1m', (range) => range < LONGEST),
      // Three months of points are not read every minute.
      toGroup('hapax-long', '5m', (range) => range === LONGEST),
    ],
  }
}

function toGroup(name: string, interval: string, isOf: (range: number) => boolean) {
  const rules = RULES.filter(({ range }) => isOf(range)).map(toRule)
  return { orgId: 1, name, folder: 'Hapax', interval, rules }
}

function toRule(rule: Rule) {
  const { uid, title, severity, summary, description } = rule
  const names = Object.keys(rule.series)
  return {
    uid,
    title,
    condition: 'Fires',
    data: [
      ...names.map((name) => toQuery(name, rule)),
      ...names.map((name) =>
        toExpression(`Sum${name}`, {
          type: 'reduce',
          expression: name,
          reducer: 'sum',
          settings: { mode: 'dropNN' },
        }),
      ),
      toExpression('Fires', { type: 'math', expression: rule.fires }),
    ],
    // Where nothing of the kind happened there is no row.
    noDataState: 'OK',
    execErrState: 'Error',
    for: rule.for,
    labels: { severity, service: 'hapax' },
    annotations: { summary, description },
    isPaused: false,
  }
}

function toQuery(name: string, { series, range }: Rule) {
  const datasource = { type: PLUGIN, uid: DATASOURCE_UID }
  return {
    refId: name,
    relativeTimeRange: { from: range, to: 0 },
    datasourceUid: DATASOURCE_UID,
    model: { refId: name, datasource, ...toModel(series[name] ?? '', 'time_series') },
  }
}

function toExpression(name: string, model: object) {
  const datasource = { type: '__expr__', uid: '__expr__' }
  return { refId: name, datasourceUid: '__expr__', model: { refId: name, datasource, ...model } }
}
