import type { Found } from './api.ts'
import { TimeChart } from './chart.ts'
import { element } from './page.ts'
import { type Column, fillTable, formatCount } from './table.ts'

/** A row of the query `traffic`. */
export interface Traffic {
  readonly bucket: string
  readonly requests: number
  readonly executed: number
  readonly replayed: number
  readonly joined: number
  readonly blocked: number
  readonly mismatches: number
}

const SERIES = [
  { name: 'executed', label: 'Executed', colour: '--executed' },
  { name: 'replayed', label: 'Replayed', colour: '--replayed', dash: [8, 3] },
  { name: 'joined', label: 'Joined', colour: '--joined', dash: [2, 3] },
  { name: 'blocked', label: 'Blocked', colour: '--blocked', dash: [12, 3, 2, 3] },
  { name: 'mismatches', label: 'Mismatches', colour: '--mismatch', dash: [5, 5] },
] as const

const place = element('traffic', HTMLDivElement)
const chart = new TimeChart(place)

/** Shows what became of requests over time, as a chart and as a table. */
export function showTraffic(found: Found<Traffic>): void {
  const rows = fillGaps(found)
  const times = rows.map(({ bucket }) => Date.parse(bucket) / 1_000)
  const series = SERIES.map(({ name, label, colour, ...more }) => {
    return { label, colour, values: rows.map((row) => row[name]), ...more }
  })
  chart.show(times, series)
  const columns: Column<Traffic>[] = [
    { title: 'From', cell: ({ bucket }) => new Date(bucket).toLocaleString() },
    { title: 'Requests', cell: ({ requests }) => formatCount(requests), isNumber: true },
    ...SERIES.map(({ name, label }) => ({
      title: label,
      cell: (row: Traffic) => formatCount(row[name]),
      isNumber: true,
    })),
  ]
  const none = 'No requests in this time.'
  const busy = rows.filter(({ requests }) => requests > 0)
  fillTable(element('traffic-table', HTMLTableElement), columns, busy, none)
  place.setAttribute('aria-label', describe(rows))
}

/** A bucket without requests has no row; in a chart it is a zero, not a slope between its neighbours. */
function fillGaps({ rows, since, bucketSeconds }: Found<Traffic>): readonly Traffic[] {
  if (rows.length === 0) return rows
  const known = new Map(rows.map((row) => [Date.parse(row.bucket), row]))
  const stepMs = bucketSeconds * 1_000
  const first = Math.min(...known.keys())
  const begin = first - Math.floor((first - Date.parse(since)) / stepMs) * stepMs
  const count = Math.floor((Date.now() - begin) / stepMs) + 1
  return Array.from({ length: count }, (_, index) => {
    const at = begin + index * stepMs
    return known.get(at) ?? { ...NO_TRAFFIC, bucket: new Date(at).toISOString() }
  })
}

const NO_TRAFFIC = { requests: 0, executed: 0, replayed: 0, joined: 0, blocked: 0, mismatches: 0 }

/** Draws the chart in the colours that the page has now. */
export function redrawTraffic(): void {
  chart.redraw()
}

function describe(rows: readonly Traffic[]): string {
  if (rows.length === 0) return 'No requests in this time.'
  const sums = SERIES.map(({ name, label }) => {
    return `${label} ${formatCount(rows.reduce((sum, row) => sum + row[name], 0))}`
  })
  return `Chart of requests over time. In all: ${sums.join(', ')}.`
}
