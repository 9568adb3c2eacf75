import type { RowOf } from '../src/analytics/queries.ts'
import type { StuckView } from '../src/core/operation/operator-view.ts'
import { type Filters, type Found, isNarrowed } from './api.ts'
import { formatAge, formatClock, formatCount, formatTime } from './format.ts'
import { element, make, say } from './page.ts'
import { type Column, fillTable, short, tenantName } from './table.ts'
import type { Listed } from './whole-list.ts'

/** Rows of a table at first, and how many more a press of its button shows. */
const STEP = 100

/**
 * The ages of stuck operations now. A page that was read a while ago has their ages of then. The
 * page that was read just now tells the time on the gateway's clock.
 */
export function withAges(list: Listed<StuckView>): Listed<StuckView> {
  const now = Math.max(
    ...list.entries.map(({ since, ageSeconds }) => Date.parse(since) + ageSeconds * 1_000),
  )
  const ageOf = ({ since }: StuckView) => Math.floor((now - Date.parse(since)) / 1_000)
  const entries = list.entries.map((entry) => ({ ...entry, ageSeconds: ageOf(entry) }))
  return { ...list, entries: entries.toSorted((a, b) => Date.parse(a.since) - Date.parse(b.since)) }
}

type Unknown = RowOf<'unknown'>

interface Doubtful extends Pick<StuckView, 'id' | 'tenant' | 'reason' | 'ageSeconds'> {
  readonly route: string
  readonly next: string
}

const DOUBTFUL: readonly Column<Doubtful>[] = [
  { title: 'Operation', cell: ({ id }) => operationLink(id) },
  { title: 'Age', cell: ({ ageSeconds }) => formatAge(ageSeconds), kind: 'number' },
  { title: 'Next', cell: ({ next }) => next },
  { title: 'Why', cell: ({ reason }) => reason },
  { title: 'Route', cell: ({ route }) => route, kind: 'name' },
  { title: 'Tenant', cell: ({ tenant }) => tenantName(tenant), kind: 'name' },
]

/**
 * Shows operations whose outcome is unknown, the oldest first: from the operator's list, which is of
 * now, and from the points of the time range.
 *
 * @param points `null`: not read yet, or not readable. The same goes for the list.
 */
export function showUnknown(
  points: Found<Unknown> | null,
  list: Listed<StuckView> | null,
  filters: Filters & { readonly isAll: boolean },
): void {
  const { route, tenant } = filters
  const entries = list?.entries ?? []
  const listed = entries.filter(
    (entry) =>
      (route === '' || entry.operation === route) && (tenant === '' || entry.tenant === tenant),
  )
  const known = new Set(entries.map(({ id }) => id))
  const seen = (points?.rows ?? []).filter((row) => !known.has(row.operation_id))
  const rows = [...listed.map(toListed), ...seen.map(toSeen)]
  showStepwise(
    'unknown',
    DOUBTFUL,
    rows.toSorted((a, b) => b.ageSeconds - a.ageSeconds),
    {
      none: filters.isAll ? 'All outcomes are known.' : 'The list is incomplete.',
      isWhole: list?.isWhole ?? true,
    },
  )
  say('unknown-hint', hintOf(listed.length, points, list, filters))
}

function hintOf(
  count: number,
  points: Found<Unknown> | null,
  list: Listed<StuckView> | null,
  filters: Filters,
): string {
  const words = [
    ...(list === null ? [] : [narrowedWord(count, list, filters), wordOf(list)]),
    points?.isCut === true ? 'There are more operations from requests.' : '',
  ]
  return words.filter(Boolean).join(' ')
}

function narrowedWord(count: number, { total }: Listed<StuckView>, filters: Filters): string {
  if (!isNarrowed(filters)) return ''
  const all = total === null ? 'those' : formatCount(total)
  return `${formatCount(count)} of ${all} on the list match the filters.`
}

function toListed(entry: StuckView): Doubtful {
  return { ...entry, route: entry.operation, next: toNext(entry) }
}

function toNext({ nextAttemptAt, isInProgress = false, isLost = false }: StuckView): string {
  if (isLost) return 'did not respond'
  if (isInProgress) return 'being sent again'
  return nextAttemptAt === null ? 'needs an operator' : `automatic, ${formatClock(nextAttemptAt)}`
}

function toSeen(row: Unknown): Doubtful {
  return {
    id: row.operation_id,
    route: row.route,
    tenant: row.tenant,
    reason: 'seen in requests',
    ageSeconds: row.age_seconds,
    next: 'look',
  }
}

/** An event or a message that could not be delivered. */
export interface Letter {
  readonly id: string
  readonly from: string
  readonly type: string
  readonly reason: string
  readonly at: string
  readonly operationId: string | null
  readonly decision?: keyof typeof DECISIONS
}

/** Decisions about a message, as reasons why a replay does not execute it. */
const DECISIONS = {
  mismatch: 'its key names something else',
  failed: 'its failure is its result',
  'outcome-unknown': 'resolve its operation first',
}

function whyOf({ reason, decision }: Letter): string {
  return decision === undefined ? reason : `${reason} (${DECISIONS[decision] ?? decision})`
}

const LETTER: readonly Column<Letter>[] = [
  { title: 'Letter', cell: ({ id }) => short(id) },
  { title: 'Since', cell: ({ at }) => formatTime(at) },
  { title: 'From', cell: ({ from, type }) => `${from}, ${type}`, kind: 'name' },
  { title: 'Why', cell: whyOf, kind: 'name' },
  {
    title: 'Operation',
    cell: ({ operationId }) => (operationId === null ? '—' : operationLink(operationId)),
  },
]

/** Shows the dead letters. Filters do not apply to them. */
export function showLetters(list: Listed<Letter>, filters: Filters): void {
  const { isWhole } = list
  showStepwise('letters', LETTER, list.entries, { none: 'No dead letters.', isWhole })
  const all = isNarrowed(filters)
    ? 'All routes and tenants. Filters do not apply to this list.'
    : ''
  say('letters-hint', [all, wordOf(list)].join(' ').trim())
}

function wordOf({ entries, total, isWhole }: Listed<unknown>): string {
  if (isWhole) return ''
  const all = total === null ? '' : ` of ${formatCount(total)}`
  return `Only the newest ${formatCount(entries.length)}${all} were searched.`
}

function operationLink(id: string): HTMLAnchorElement {
  const href = `#operation=${encodeURIComponent(id.toWellFormed())}`
  return make('a', { href }, short(id))
}

type ListId = 'unknown' | 'letters'

const showMore = new Map<string, () => void>()
const readOn = new Map<ListId, () => void>()
const limits = new Map<string, number>()

for (const id of ['unknown', 'letters']) {
  element(`${id}-more`, HTMLButtonElement).addEventListener('click', () => {
    limits.set(id, (limits.get(id) ?? STEP) + STEP)
    showMore.get(id)?.()
  })
}

/** Sets the work that reads more of a list, for a reader at the end of it. */
export function onReadOn(id: ListId, work: () => void): void {
  readOn.set(id, work)
}

/** Shows the first rows, and a button that shows more or reads on after the last one. */
function showStepwise<row extends { readonly id: string }>(
  id: ListId,
  columns: readonly Column<row>[],
  rows: readonly row[],
  { none, isWhole }: { readonly none: string; readonly isWhole: boolean },
): void {
  const show = () => {
    const limit = limits.get(id) ?? STEP
    const shown = rows.slice(0, limit)
    const table = element(id, HTMLTableElement)
    fillTable(table, columns, shown, { none, keyOf: (row) => row.id })
    const button = element(`${id}-more`, HTMLButtonElement)
    const isFocused = document.activeElement === button
    button.hidden = shown.length === rows.length && isWhole
    if (isFocused && button.hidden) table.closest<HTMLElement>('[tabindex]')?.focus()
    const [count, all] = [formatCount(shown.length), formatCount(rows.length)]
    const read = isWhole ? all : `${all} that were loaded`
    say(`${id}-count`, button.hidden ? '' : `Showing the first ${count} of ${read}.`)
  }
  showMore.set(id, () => {
    show()
    const isShort = (limits.get(id) ?? STEP) > rows.length
    if (isShort && !isWhole) readOn.get(id)?.()
  })
  show()
}
