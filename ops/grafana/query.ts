import { QUERIES, type QueryName } from '../../src/analytics/queries.ts'
import { type Query, select, type Source } from '../../src/analytics/sql.ts'
import { column, TENANT_INDEX } from '../../src/core/metric-columns.ts'

/** The data source of Altinity, which Cloudflare recommends for Analytics Engine. */
export const PLUGIN = 'vertamedia-clickhouse-datasource'

const DATASET = 'hapax'

/** As the macros of the data source say it; the variables of the dashboard count where one is chosen. */
const DASHBOARD: Source = {
  dataset: DATASET,
  within: [
    '$timeFilter',
    `$conditionalTest(AND ${column.operation} IN ($route), $route)`,
    `$conditionalTest(AND ${TENANT_INDEX} IN ($tenant), $tenant)`,
  ].join(' '),
  bucket: '$timeSeries',
}

/** A named query in the words of the data source. */
export function toPanelSql(name: QueryName): string {
  return toTarget(QUERIES[name], DASHBOARD)
}

/** A query of an alert, which knows no variables. */
export function toAlertSql(query: Query): string {
  return toTarget(query, { ...DASHBOARD, within: '$timeFilter' })
}

/** The data source takes the time of a series from a column called `t`. */
function toTarget(query: Query, source: Source): string {
  return select(query, source).replaceAll(/\bbucket\b/g, 't')
}

/** What the data source has to be told along with a query. */
export function toModel(sql: string, format: 'table' | 'time_series') {
  return {
    query: sql,
    rawQuery: true,
    editorMode: 'sql',
    format,
    database: '',
    table: DATASET,
    dateTimeColDataType: 'timestamp',
    dateTimeType: 'DATETIME',
    // The last bucket is not over: its count is no forecast.
    extrapolate: false,
    skip_comments: true,
    intervalFactor: 1,
    round: '0s',
    interval: '',
  } as const
}
