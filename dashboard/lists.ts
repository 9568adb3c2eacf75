import type { RowOf } from '../src/analytics/queries.ts'
import { countBar, rangeBar, shareBar } from './bars.ts'
import { formatCount, formatMs } from './format.ts'
import { element, say } from './page.ts'
import { type Column, fillTable, tenantName } from './table.ts'

type Conflict = RowOf<'conflicts'>

/** Keys that named another request: refused, or only observed on routes in that mode. */
export function showConflicts(rows: readonly Conflict[]): void {
  const largest = Math.max(...rows.flatMap(({ mismatches, observed }) => [mismatches, observed]))
  const bar = (title: string, name: 'mismatches' | 'observed', tone: string): Column<Conflict> => {
    return { title, cell: (row) => countBar(row[name], largest, tone), kind: 'number' }
  }
  fillTable(
    element('conflicts', HTMLTableElement),
    [
      { title: 'Route', cell: ({ route }) => route, kind: 'name' },
      { title: 'Tenant', cell: ({ tenant }) => tenantName(tenant), kind: 'name' },
      bar('Mismatches', 'mismatches', '--mismatch'),
      ...(isObserved(rows) ? [bar('Only observed', 'observed', '--muted')] : []),
      {
        title: 'Share of its requests',
        cell: ({ mismatch_share: part }) => shareBar(part),
        kind: 'number',
      },
    ],
    rows,
    {
      none: 'No key was used for different requests.',
      keyOf: ({ route, tenant }) => JSON.stringify([route, tenant]),
    },
  )
}

type Keyless = RowOf<'keyless'>

/** Requests without a key, per route. */
export function showKeyless(rows: readonly Keyless[]): void {
  fillTable(
    element('keyless', HTMLTableElement),
    [
      { title: 'Route', cell: ({ route }) => route, kind: 'name' },
      count('Requests', 'requests'),
      count('Without a key', 'keyless'),
      ...(isObserved(rows) ? [count('Observed', 'observed')] : []),
      { title: 'Share', cell: ({ keyless_share: part }) => shareBar(part), kind: 'number' },
    ],
    rows,
    { none: 'No requests in this time range.', keyOf: ({ route }) => route },
  )
}

function count(title: string, name: 'requests' | 'keyless' | 'observed'): Column<Keyless> {
  return { title, cell: (row) => formatCount(row[name]), kind: 'number' }
}

const isObserved = (rows: readonly { readonly observed?: number }[]) =>
  rows.some(({ observed = 0 }) => observed > 0)

type Latency = RowOf<'latency'>

/** Time in progress, and time to the claim. */
export function showLatency(rows: readonly Latency[]): void {
  const largest = Math.max(...rows.map((row) => row.in_progress_p99_ms), 0)
  const ms = (title: string, name: Exclude<keyof Latency, 'route'>): Column<Latency> => {
    return { title, cell: (row) => formatMs(row[name]), kind: 'number' }
  }
  const rangeOf = (row: Latency) =>
    rangeBar([row.in_progress_p50_ms, row.in_progress_p95_ms, row.in_progress_p99_ms], largest)
  fillTable(
    element('latency', HTMLTableElement),
    [
      { title: 'Route', cell: ({ route }) => route, kind: 'name' },
      { title: 'Calls', cell: ({ attempts }) => formatCount(attempts), kind: 'number' },
      ms('p50', 'in_progress_p50_ms'),
      ms('p95', 'in_progress_p95_ms'),
      ms('p99', 'in_progress_p99_ms'),
      { title: `0 to ${formatMs(largest)}`, cell: rangeOf, kind: 'picture' },
      ms('Claim p95', 'claim_p95_ms'),
    ],
    rows,
    { none: 'Nothing was executed in this time range.', keyOf: ({ route }) => route },
  )
  const legend =
    'The tick is p50, the box ends at p95, the line ends at p99. All rows have the same scale.'
  say('latency-hint', rows.length > 0 ? legend : '')
}
