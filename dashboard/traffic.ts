import type { RowOf } from '../src/analytics/queries.ts'
import type { Found } from './api.ts'
import { type Series, TimeChart } from './chart.ts'
import { formatCount, formatTime } from './format.ts'
import { element } from './page.ts'
import { type Column, fillTable } from './table.ts'

type Counts = RowOf<'traffic'>

/** A row of the query `traffic`. */
export type Traffic = Counts & { readonly bucket: string }

interface Line extends Omit<Series, 'values'> {
  readonly name: keyof Counts
}

const MISMATCHES: Line = {
  name: 'mismatches',
  label: 'Mismatches',
  colour: '--mismatch',
  dash: [5, 5],
}

const charts = [
  chartIn('traffic', 'requests', [
    { name: 'executed', label: 'Executed', colour: '--executed' },
    { name: 'replayed', label: 'Replayed', colour: '--replayed', dash: [8, 3] },
    { name: 'joined', label: 'Joined', colour: '--joined', dash: [2, 3] },
    { name: 'blocked', label: 'Blocked', colour: '--blocked', dash: [12, 3, 2, 3] },
    MISMATCHES,
  ]),
  chartIn('trouble', 'conflicts, unknown outcomes and store errors', [
    MISMATCHES,
    { name: 'unknown', label: 'Outcome unknown', colour: '--unknown' },
    { name: 'store_errors', label: 'Store errors', colour: '--store', dash: [2, 3] },
  ]),
]

function chartIn(id: string, what: string, lines: readonly Line[]) {
  const place = element(id, HTMLDivElement)
  const table = element(`${id}-table`, HTMLTableElement)
  return { place, chart: new TimeChart(place), table, what, lines }
}

/** Shows what became of requests over time, as charts and as tables. */
export function showTraffic(found: Found<Traffic>): void {
  const rows = fillGaps(found)
  const times = rows.map(({ bucket }) => Date.parse(bucket) / 1_000)
  for (const { place, chart, table, what, lines } of charts) {
    const series = lines.map(({ name, ...line }) => {
      return { ...line, values: rows.map((row) => row[name]) }
    })
    chart.show(times, series)
    place.setAttribute('aria-label', describe(what, lines, rows))
    fillTable(table, columnsOf(lines), rows.filter(isBusy), {
      none: 'No requests in this time range.',
      keyOf: ({ bucket }) => bucket,
    })
  }
}

/** Draws the charts in the colours that the page has now. */
export function redrawTraffic(): void {
  for (const { chart } of charts) chart.redraw()
}

const isBusy = ({ requests }: Traffic) => requests > 0

function columnsOf(lines: readonly Line[]): readonly Column<Traffic>[] {
  const all = [{ name: 'requests', label: 'Requests' } as const, ...lines]
  return [
    { title: 'From', cell: ({ bucket }) => formatTime(bucket) },
    ...all.map(({ name, label }): Column<Traffic> => {
      return { title: label, cell: (row) => formatCount(row[name]), kind: 'number' }
    }),
  ]
}

/** A bucket without requests has no row; in a chart it is a zero, not a slope between its neighbours. */
function fillGaps({ rows, since, bucketSeconds }: Found<Traffic>): readonly Traffic[] {
  const [first] = rows
  if (first === undefined) return rows
  const none = Object.fromEntries(Object.keys(first).map((name) => [name, 0])) as unknown as Counts
  const known = new Map(rows.map((row) => [Date.parse(row.bucket), row]))
  const stepMs = bucketSeconds * 1_000
  const firstMs = Math.min(...known.keys())
  const begin = firstMs - Math.floor((firstMs - Date.parse(since)) / stepMs) * stepMs
  const count = Math.floor((Date.now() - begin) / stepMs) + 1
  return Array.from({ length: count }, (_, index) => {
    const at = begin + index * stepMs
    return known.get(at) ?? { ...none, bucket: new Date(at).toISOString() }
  })
}

function describe(what: string, lines: readonly Line[], rows: readonly Traffic[]): string {
  if (!rows.some(isBusy)) return 'No requests in this time range.'
  const sums = lines.map(({ name, label }) => {
    return `${label} ${formatCount(rows.reduce((sum, row) => sum + row[name], 0))}`
  })
  return `Chart of ${what} over time. Total: ${sums.join(', ')}.`
}
