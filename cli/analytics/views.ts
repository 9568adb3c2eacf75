import type { Row } from '../../src/analytics/client.ts'
import type { QueryName } from '../../src/analytics/queries.ts'
import { format } from './format.ts'
import { toBar } from './plot.ts'
import { type Span, toSeries } from './series.ts'
import { toTable } from './table.ts'

export type { Span } from './series.ts'

/** How the rows of a query are shown. */
interface View {
  readonly title: string
  print(rows: readonly Row[], span: Span): string
}

const BAR_WIDTH = 24

const table = (title: string, bar?: string): View => ({
  title,
  print: (rows) => toTable(rows, bar),
})

/** A view for each query. */
export const VIEWS: Readonly<Record<QueryName, View>> = {
  summary: { title: 'totals for the deployment', print: toSummary },
  traffic: {
    title: 'results of requests over time',
    print: (rows, span) => toSeries(rows, span),
  },
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

/** Counts one under the other, each with its part of all requests. */
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
      const line = `${name.padEnd(width)}  ${count.padStart(digits)} ${share}  ${toBar(part, BAR_WIDTH)}`
      return `${line.trimEnd()}\n`
    })
    .join('')
}
