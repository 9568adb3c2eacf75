import type { QueryName } from '../../src/analytics/queries.ts'
import { OF_LAYOUT } from '../../src/analytics/sql.ts'
import { column, TENANT_INDEX } from '../../src/core/metric-columns.ts'
import { PLUGIN, toModel, toPanelSql } from './query.ts'

const DATASOURCE = { type: PLUGIN, uid: '${DS_HAPAX}' } as const
const COLUMNS = 24

type Kind = 'stat' | 'table' | 'timeseries'

interface Panel {
  readonly query: QueryName
  readonly title: string
  readonly description: string
  readonly kind: Kind
  /** In columns, of which a row has 24, and in lines: the same for all panels of a row. */
  readonly width: number
  readonly height: number
}

const PANELS: readonly Panel[] = [
  {
    query: 'summary',
    title: 'Totals',
    description: 'Results of the requests on protected routes.',
    kind: 'stat',
    width: 24,
    height: 5,
  },
  {
    query: 'traffic',
    title: 'Requests',
    description: 'Executed, replayed, joined and rejected requests over time.',
    kind: 'timeseries',
    width: 16,
    height: 9,
  },
  {
    query: 'stores',
    title: 'Store errors',
    description: 'Requests that could not be recorded: rejected, or forwarded without protection.',
    kind: 'timeseries',
    width: 8,
    height: 9,
  },
  {
    query: 'unknown',
    title: 'Unknown outcomes',
    description: 'Operations whose outcome is unknown, oldest first.',
    kind: 'table',
    width: 24,
    height: 8,
  },
  {
    query: 'conflicts',
    title: 'Conflicts',
    description: 'Keys that were used for different requests.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'keyless',
    title: 'Requests without a key',
    description: 'They are rejected on routes that require a key.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'reuse',
    title: 'Reuse of keys',
    description: 'Requests whose key had been used before, and what became of them.',
    kind: 'table',
    width: 24,
    height: 8,
  },
  {
    query: 'duplicates',
    title: 'Blocked duplicates',
    description: 'Retries that did not reach the origin.',
    kind: 'table',
    width: 24,
    height: 8,
  },
  {
    query: 'latency',
    title: 'Time in in_progress, and to the claim',
    description: 'Only requests that called the origin or the handler.',
    kind: 'table',
    width: 24,
    height: 8,
  },
  {
    query: 'waiting',
    title: 'Waiting duplicates',
    description: 'Duplicates that waited for the first request.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'amplification',
    title: 'Amplification',
    description: 'Calls of the origin per operation that ended.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'recoveries',
    title: 'Recoveries',
    description: 'Unknown outcomes that the alarm resolved.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'late',
    title: 'Late settles',
    description: 'Attempts that ended after they were given up.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'messages',
    title: 'Queue messages',
    description: 'Acknowledged, retried and dead-lettered messages.',
    kind: 'table',
    width: 12,
    height: 8,
  },
  {
    query: 'deliveries',
    title: 'Deliveries of events',
    description: 'Events from the outbox.',
    kind: 'table',
    width: 12,
    height: 8,
  },
]

/** The dashboard, as Grafana imports it. */
export function toDashboard() {
  return {
    __inputs: [
      {
        name: 'DS_HAPAX',
        label: 'Workers Analytics Engine',
        type: 'datasource',
        pluginId: PLUGIN,
        pluginName: 'Altinity plugin for ClickHouse',
      },
    ],
    title: 'Hapax',
    uid: 'hapax',
    tags: ['hapax', 'idempotency'],
    schemaVersion: 39,
    timezone: 'utc',
    refresh: '1m',
    time: { from: 'now-24h', to: 'now' },
    templating: {
      list: [
        toVariable('route', column.operation, 'Route'),
        toVariable('tenant', TENANT_INDEX, 'Tenant'),
      ],
    },
    panels: toPlaces(PANELS).map(toPanel),
  }
}

interface Place {
  readonly panel: Panel
  readonly gridPos: {
    readonly x: number
    readonly y: number
    readonly w: number
    readonly h: number
  }
}

/** Puts panels side by side, and into a new row where one has no room. */
function toPlaces(panels: readonly Panel[]): Place[] {
  return panels.reduce<Place[]>((places, panel) => {
    const { x, y, w, h } = places.at(-1)?.gridPos ?? { x: 0, y: 0, w: 0, h: 0 }
    const fits = x + w + panel.width <= COLUMNS
    const gridPos = {
      ...(fits ? { x: x + w, y } : { x: 0, y: y + h }),
      w: panel.width,
      h: panel.height,
    }
    return [...places, { panel, gridPos }]
  }, [])
}

function toPanel({ panel, gridPos }: Place, index: number) {
  const { query, title, description, kind } = panel
  return {
    id: index + 1,
    gridPos,
    type: kind,
    title,
    description,
    datasource: DATASOURCE,
    targets: [{ refId: 'A', datasource: DATASOURCE, ...toModel(toPanelSql(query), FORMATS[kind]) }],
    fieldConfig: { defaults: { ...DEFAULTS[kind] }, overrides: UNITS },
    options: OPTIONS[kind],
  }
}

const FORMATS = { stat: 'table', table: 'table', timeseries: 'time_series' } as const

const DEFAULTS = {
  stat: { unit: 'short' },
  table: {},
  timeseries: {
    unit: 'short',
    min: 0,
    custom: { drawStyle: 'bars', fillOpacity: 60, lineWidth: 0, showPoints: 'never' },
  },
} as const satisfies Record<Kind, object>

const OPTIONS = {
  // One row whose columns are a value each.
  stat: { reduceOptions: { calcs: ['lastNotNull'], fields: '/.*/' }, colorMode: 'none' },
  table: { showHeader: true },
  timeseries: {
    legend: { displayMode: 'table', placement: 'right', calcs: ['sum'] },
    tooltip: { mode: 'multi' },
  },
} as const satisfies Record<Kind, object>

/** Units by what the names of the columns say. */
const UNITS = [toUnit('_share$', 'percentunit'), toUnit('_ms$', 'ms'), toUnit('_seconds$', 's')]

function toUnit(ending: string, unit: string) {
  return {
    matcher: { id: 'byRegexp', options: `/${ending}/` },
    properties: [{ id: 'unit', value: unit }],
  }
}

/** Everything that a column held in the chosen time; none chosen filters nothing. */
function toVariable(name: string, of: string, label: string) {
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query: `SELECT ${of} AS value FROM hapax WHERE ${OF_LAYOUT} AND ${of} != '' AND $timeFilterByColumn(timestamp) GROUP BY value ORDER BY value`,
    // With the range of time.
    refresh: 2,
    multi: true,
    includeAll: true,
    current: { text: ['All'], value: ['$__all'] },
  }
}
