import type {
  ListPage,
  OperatorView,
  StuckView,
  TimelineEntry,
  TimelinePage,
} from '../../src/core/operation/operator-view.ts'
import { toVisible } from '../../src/core/visible.ts'
import type { Reply } from './connect.ts'

interface Letter {
  readonly id: string
  readonly type: string
  readonly reason: string
  readonly attempts: number
  readonly at: string
  readonly content?: unknown
}

/** An operation, a line for each thing that is known of it, then its timeline. */
export function toOperation({ body }: Reply): string {
  const { timeline, attempts, owner, result, ...rest } = body as unknown as OperatorView &
    Partial<TimelinePage>
  const { isCut = false, timelineNext: _, analytics, ...view } = rest
  const facts = Object.entries({
    ...view,
    attempts: attempts.length,
    ...(owner && { owner: [owner.kind, owner.leaseUntil].filter(Boolean).join(' until ') }),
    ...(result && {
      result: [result.status, `${result.bodyBytes} bytes`].filter(Boolean).join(', '),
    }),
  }).filter(([, value]) => value !== '')
  const notes = [
    ...(isCut ? [`To see all events: hapax analytics operation ${view.id}`] : []),
    ...(analytics === 'unavailable'
      ? ['The requests are missing because they could not be read.']
      : []),
  ]
  return [toColumns(facts), toEvents(timeline), ...notes].join('\n\n')
}

/** A timeline, a line for each thing that has happened. */
export function toEvents(timeline: readonly TimelineEntry[]): string {
  return toColumns(timeline.map(({ at, what, detail = {} }) => [at, what, toDetail(detail)]))
}

const toDetail = (detail: object) =>
  Object.entries(detail)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ')

/** The list of stuck operations. @param isFirst Whether this is the first printed page. */
export function toStuck({ body }: Reply, isFirst: boolean): string {
  const { entries, next } = body as unknown as ListPage<StuckView>
  const rows = entries.map((entry) => {
    const { id, operation, reason, tenant, ageSeconds } = entry
    return [id, operation, reason, `${ageSeconds} s`, toNextAttempt(entry), tenant]
  })
  const head = ['ID', 'OPERATION', 'REASON', 'AGE', 'NEXT ATTEMPT', 'TENANT']
  return toList(rows, { head: isFirst ? head : null, empty: 'No stuck operations.', next })
}

function toNextAttempt({ nextAttemptAt, isInProgress, isLost }: StuckView): string {
  if (isLost === true) return 'did not answer'
  return isInProgress === true ? 'in progress' : (nextAttemptAt ?? 'never')
}

/** The list of dead letters. @param isFirst As for `toStuck`. */
export function toLetters({ body }: Reply, isFirst: boolean): string {
  const { entries, next } = body as unknown as ListPage<Letter>
  const rows = entries.map(({ id, type, attempts, at, reason }) => [id, type, attempts, at, reason])
  const head = ['ID', 'TYPE', 'ATTEMPTS', 'AT', 'REASON']
  return toList(rows, { head: isFirst ? head : null, empty: 'No dead letters.', next })
}

/** What came of the change of one of many things. */
export interface Result {
  readonly id: string
  readonly result: string
  readonly because?: string
}

/** A line for each of many changes. */
export function toResults(results: readonly Result[]): string {
  return toColumns(results.map(({ id, result, because = '' }) => [id, result, because]))
}

/** An answer as it came, for programs. */
export function toJson({ body }: Pick<Reply, 'body'>): string {
  return body === null ? '' : `${JSON.stringify(body, null, 2)}\n`
}

/** One dead letter with its content. */
export function toLetter({ body }: Reply): string {
  const { content, ...head } = body as unknown as Letter
  const facts = Object.entries(head).filter(([, value]) => value !== null)
  const shown =
    content === null ? 'The content cannot be decrypted.' : JSON.stringify(content, null, 2)
  return `${toColumns(facts)}\n\n${shown}`
}

interface ListWords {
  /** `null` below rows that are printed already. */
  readonly head: readonly string[] | null
  readonly empty: string
  readonly next: number | null
}

function toList(rows: readonly (readonly unknown[])[], { head, empty, next }: ListWords): string {
  if (rows.length === 0 && next === null) return head === null ? '' : empty
  const more = next === null ? '' : `\n\nMore entries: use --after ${next} or --all.`
  return toColumns(head === null ? rows : [head, ...rows]) + more
}

/** Rows one under the other, their cells in columns. */
export function toColumns(rows: readonly (readonly unknown[])[]): string {
  const cells = rows.map((row) => row.map(toCell))
  const widths = cells.reduce<number[]>((known, row) => {
    return row.map((cell, index) => Math.max(known[index] ?? 0, cell.length))
  }, [])
  const lines = cells.map((row) => row.map((cell, index) => cell.padEnd(widths[index] ?? 0)))
  return lines.map((line) => line.join('  ').trimEnd()).join('\n')
}

/** Names and reasons come from outside: each stays one line. */
function toCell(value: unknown): string {
  return toVisible(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}
