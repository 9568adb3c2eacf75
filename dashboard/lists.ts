import type { Filters } from './api.ts'
import { element } from './page.ts'
import { type Column, fillTable, formatAge, formatCount, formatMs, share, short } from './table.ts'

interface Conflict {
  readonly route: string
  readonly tenant: string
  readonly mismatches: number
  readonly mismatch_share: number
}

/** Keys that named another request. */
export function showConflicts(rows: readonly Conflict[]): void {
  fillTable(
    element('conflicts', HTMLTableElement),
    [
      { title: 'Route', cell: ({ route }) => route },
      { title: 'Tenant', cell: ({ tenant }) => short(tenant) },
      {
        title: 'Mismatches',
        cell: ({ mismatches }) => formatCount(mismatches),
        isNumber: true,
      },
      {
        title: 'Of its requests',
        cell: ({ mismatch_share: part }) => share(part),
        isNumber: true,
      },
    ],
    rows,
    'No key was used for two requests.',
  )
}

interface Keyless {
  readonly route: string
  readonly requests: number
  readonly keyless: number
  readonly keyless_share: number
}

/** Requests without a key, per route. */
export function showKeyless(rows: readonly Keyless[]): void {
  fillTable(
    element('keyless', HTMLTableElement),
    [
      { title: 'Route', cell: ({ route }) => route },
      { title: 'Requests', cell: ({ requests }) => formatCount(requests), isNumber: true },
      { title: 'Without a key', cell: ({ keyless }) => formatCount(keyless), isNumber: true },
      { title: 'Share', cell: ({ keyless_share: part }) => share(part), isNumber: true },
    ],
    rows,
    'No requests in this time.',
  )
}

interface Latency {
  readonly route: string
  readonly attempts: number
  readonly in_progress_p50_ms: number
  readonly in_progress_p95_ms: number
  readonly in_progress_p99_ms: number
  readonly claim_p95_ms: number
}

/** Time in progress, and time to the claim. */
export function showLatency(rows: readonly Latency[]): void {
  const ms = (title: string, name: keyof Latency): Column<Latency> => {
    return { title, cell: (row) => formatMs(Number(row[name])), isNumber: true }
  }
  fillTable(
    element('latency', HTMLTableElement),
    [
      { title: 'Route', cell: ({ route }) => route },
      { title: 'Calls', cell: ({ attempts }) => formatCount(attempts), isNumber: true },
      ms('p50', 'in_progress_p50_ms'),
      ms('p95', 'in_progress_p95_ms'),
      ms('p99', 'in_progress_p99_ms'),
      ms('Claim p95', 'claim_p95_ms'),
    ],
    rows,
    'Nothing was executed in this time.',
  )
}

interface Unknown {
  readonly operation_id: string
  readonly route: string
  readonly tenant: string
  readonly attempts: number
  readonly age_seconds: number
}

interface Stuck {
  readonly entries: readonly {
    readonly id: string
    readonly operation: string
    readonly tenant: string
    readonly reason: string
    readonly ageSeconds: number
    readonly nextAttemptAt: string | null
  }[]
}

interface Doubtful {
  readonly id: string
  readonly route: string
  readonly tenant: string
  readonly reason: string
  readonly ageSeconds: number
  readonly next: string
}

/** Operations of which nobody knows whether they were executed: from the operator's list, and from the points. */
export function showUnknown(
  points: readonly Unknown[],
  { entries }: Stuck,
  { route, tenant }: Filters,
): void {
  const listed = entries
    .filter(
      (entry) =>
        (route === '' || entry.operation === route) && (tenant === '' || entry.tenant === tenant),
    )
    .map((entry): Doubtful => ({
      ...entry,
      route: entry.operation,
      next: entry.nextAttemptAt === null ? 'needs you' : `by itself, ${clock(entry.nextAttemptAt)}`,
    }))
  const known = new Set(entries.map(({ id }) => id))
  const seen = points
    .filter((row) => !known.has(row.operation_id))
    .map((row): Doubtful => ({
      id: row.operation_id,
      route: row.route,
      tenant: row.tenant,
      reason: 'seen in requests',
      ageSeconds: row.age_seconds,
      next: 'look',
    }))
  fillTable(
    element('unknown', HTMLTableElement),
    [
      { title: 'Operation', cell: ({ id }) => operationLink(id) },
      { title: 'Route', cell: (row) => row.route },
      { title: 'Tenant', cell: (row) => short(row.tenant) },
      { title: 'Why', cell: ({ reason }) => reason },
      { title: 'Age', cell: ({ ageSeconds }) => formatAge(ageSeconds), isNumber: true },
      { title: 'Next', cell: ({ next }) => next },
    ],
    [...listed, ...seen].toSorted((a, b) => b.ageSeconds - a.ageSeconds),
    'Every outcome is known.',
  )
}

const clock = (time: string) => new Date(time).toLocaleTimeString()

interface Letters {
  readonly entries: readonly {
    readonly id: string
    readonly from: string
    readonly type: string
    readonly reason: string
    readonly attempts: number
    readonly at: number | string
    readonly operationId: string | null
  }[]
}

/** What could not be delivered, or not be done. */
export function showLetters({ entries }: Letters): void {
  fillTable(
    element('letters', HTMLTableElement),
    [
      { title: 'Letter', cell: ({ id }) => short(id) },
      { title: 'From', cell: ({ from, type }) => `${from}, ${type}` },
      { title: 'Why', cell: ({ reason }) => reason },
      {
        title: 'Operation',
        cell: ({ operationId }) => (operationId === null ? '—' : operationLink(operationId)),
      },
      { title: 'Since', cell: ({ at }) => new Date(at).toLocaleString() },
    ],
    entries,
    'Nothing is waiting.',
  )
}

function operationLink(id: string): HTMLAnchorElement {
  const link = document.createElement('a')
  link.href = `#operation=${id}`
  link.append(short(id))
  return link
}
