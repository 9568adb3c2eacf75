import type { Row } from '../../src/analytics/client.ts'
import { toVisible } from '../../src/core/visible.ts'
import { format, toDuration } from './format.ts'
import { toSparkline } from './plot.ts'

/** The time that is asked about. */
export interface Span {
  /** Epoch milliseconds. */
  readonly since: number
  readonly until: number
  readonly bucketMs: number
  /** As it was asked for. */
  readonly name: string
}

/**
 * Time series as one sparkline for each column of numbers, with its total; buckets without a row
 * are 0.
 *
 * @param by Column that tells the series of one column apart.
 */
export function toSeries(rows: readonly Row[], span: Span, by?: string): string {
  const [first] = rows
  if (first === undefined) return 'Nothing.\n'
  const columns = Object.keys(first).filter((name) => typeof first[name] === 'number')
  const groups = Map.groupBy(rows, (row) => (by === undefined ? '' : format(by, row[by] ?? null)))
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
