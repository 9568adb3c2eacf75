import type { Row } from '../../src/analytics/client.ts'
import type { QueryName } from '../../src/analytics/queries.ts'
import { groupBy } from '../../src/core/group-by.ts'
import { toVisible } from '../../src/core/visible.ts'
import { format, toBar, toDuration, toSparkline } from './format.ts'

/** How the rows of a query are shown. */
interface View {
  readonly title: string
  print(rows: readonly Row[], span: Span): string
}

const table = (title: string, bar?: string): View => ({
  title,
  print: (rows) => toTable(rows, bar),
})

/** A view for each query. */
export const VIEWS: Readonly<Record<QueryName, View>> = {
  summary: { title: 'totals for the deployment', print: toSummary },
  traffic: { title: 'results of requests over time', print: toSeries },
  reuse: table('requests that reuse a key, per route', 'reused_share'),
  conflicts: table('keys used for different requests, per route and tenant', 'mismatches'),
  duplicates: table('retries that did not reach the origin, per route', 'blocked'),
  keyless: table('requests without a key, per route', 'keyless_share'),
  unknown: table('operations whose outcome is unknown, oldest first', 'age_seconds'),
  latency: table('time in in_progress and time to the claim, per route', 'in_progress_p95_ms'),
  waiting: table('duplicates that waited for the first request, per route', 'waited_p95_ms'),
  amplification: table('calls of the origin per operation, per route', 'calls_per_operation'),
  stores: {
    title: 'requests that could not be recorded, per route over time',
    print: (rows, span) => toSeries(rows, span, 'route'),
  },
  recoveries: table('outcomes found by the alarm, per route', 'recovered'),
  late: table('settles that came too late, per route', 'late_share'),
  messages: table('results of queue messages, per route', 'messages'),
  deliveries: table('deliveries of events from the outbox', 'deliveries'),
}

const SUMMARY_BAR_WIDTH = 24

/** The counts as lines, each with its share of all requests. */
function toSummary([row]: readonly Row[]): string {
  if (row === undefined || row['requests'] === 0) return 'No requests.\n'
  const requests = Number(row['requests'])
  const lines = Object.entries(row).filter(([name]) => !name.endsWith('_share'))
  const cells = lines.map(([name, value]) => ({
    name: name.replaceAll('_', ' '),
    count: format(name, value),
    part: Number(value) / requests,
  }))
  const width = Math.max(...cells.map(({ name }) => name.length))
  const digits = Math.max(...cells.map(({ count }) => count.length))
  return cells
    .map(({ name, count, part }) => {
      const share = format('_share', part).padStart(8)
      const line = `${name.padEnd(width)}  ${count.padStart(digits)} ${share}  ${toBar(part, SUMMARY_BAR_WIDTH)}`
      return `${line.trimEnd()}\n`
    })
    .join('')
}

/** The time range of a query. */
export interface Span {
  /** Epoch milliseconds. */
  readonly since: number
  readonly until: number
  readonly bucketMs: number
  /** The duration as the user wrote it. */
  readonly name: string
}

/**
 * Shows time series: one sparkline and the total for each column of numbers. A bucket without a row
 * is 0.
 *
 * @param by Column that tells the series of one column apart.
 */
export function toSeries(rows: readonly Row[], span: Span, by?: string): string {
  const [first] = rows
  if (first === undefined) return 'Nothing.\n'
  const columns = Object.keys(first).filter((name) => typeof first[name] === 'number')
  const groups = groupBy(rows, (row) => (by === undefined ? '' : format(by, row[by] ?? null)))
  const lines = [...groups].flatMap(([group, members]) =>
    columns.map((column) => toSeriesLine([group, column], members, span)),
  )
  const drawn = lines.filter(({ sum }) => sum > 0)
  const width = Math.max(...drawn.map(({ name }) => name.length), 0)
  return [
    ...drawn.map(({ name, line, sum }) => `${name.padEnd(width)} │${line}│ ${format('', sum)}`),
    `${' '.repeat(width)}  last ${span.name}, ${toDuration(span.bucketMs)} each`,
  ]
    .map((line) => `${line}\n`)
    .join('')
}

function toSeriesLine(
  [group, column]: readonly [string, string],
  rows: readonly Row[],
  { since, until, bucketMs }: Span,
) {
  const known = new Map(
    rows.map((row) => [Date.parse(String(row['bucket'])), Number(row[column] ?? 0)]),
  )
  const first = Math.floor(since / bucketMs) * bucketMs
  const length = Math.floor((until - first) / bucketMs) + 1
  const values = Array.from({ length }, (_, index) => known.get(first + index * bucketMs) ?? 0)
  const name = [group, toVisible(column.replaceAll('_', ' '))].filter(Boolean).join('  ')
  return { name, line: toSparkline(values), sum: values.reduce((sum, value) => sum + value, 0) }
}

const TABLE_BAR_WIDTH = 16
const GAP = '  '

/**
 * Shows rows as a table, without the columns that are empty in every row.
 *
 * @param bar Column of numbers that also get a bar each; the highest number has the longest.
 */
export function toTable(rows: readonly Row[], bar?: string): string {
  const [first] = rows
  if (first === undefined) return 'Nothing.\n'
  const names = Object.keys(first).filter((name) => rows.some((row) => isSaid(row[name])))
  const columns = names.map((name) => toColumn(name, rows))
  const bars = bar === undefined ? [] : ['', ...toBars(bar, rows)]
  return Array.from({ length: rows.length + 1 }, (_, line) =>
    [...columns.map((column) => column[line] ?? ''), bars[line] ?? ''].join(GAP).trimEnd(),
  )
    .map((line) => `${line}\n`)
    .join('')
}

const isSaid = (value: unknown) => value !== '' && value !== null && value !== undefined

function toColumn(name: string, rows: readonly Row[]): string[] {
  const isNumber = rows.every((row) => typeof row[name] === 'number' || row[name] === null)
  const header = toVisible(name.replace(/_(?:ms|seconds|at)$/, '').replaceAll('_', ' '))
  const cells = [header, ...rows.map((row) => format(name, row[name] ?? null))]
  const width = Math.max(...cells.map((cell) => cell.length))
  return cells.map((cell) => (isNumber ? cell.padStart(width) : cell.padEnd(width)))
}

function toBars(name: string, rows: readonly Row[]): string[] {
  const values = rows.map((row) => Number(row[name] ?? 0))
  const highest = Math.max(...values, 0)
  return values.map((value) => toBar(highest === 0 ? 0 : value / highest, TABLE_BAR_WIDTH))
}
