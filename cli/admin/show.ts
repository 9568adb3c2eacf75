import type { OperatorView } from '../../src/core/operator.ts'
import { toVisible } from '../../src/core/visible.ts'
import type { Reply } from './connect.ts'

interface Page<entry> {
  readonly entries: readonly entry[]
  readonly next: number | null
}

interface Stuck {
  readonly id: string
  readonly operation: string
  readonly tenant: string
  readonly reason: string
  readonly ageSeconds: number
  readonly nextAttemptAt: string | null
}

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
  const { timeline, attempts, owner, result, ...view } = body as unknown as OperatorView
  const facts = Object.entries({
    ...view,
    attempts: attempts.length,
    ...(owner && { owner: [owner.kind, owner.leaseUntil].filter(Boolean).join(' until ') }),
    ...(result && {
      result: [result.status, `${result.bodyBytes} bytes`].filter(Boolean).join(', '),
    }),
  }).filter(([, value]) => value !== '')
  const events = timeline.map(({ at, what, detail = {} }) => [at, what, toDetail(detail)])
  return `${toColumns(facts)}\n\n${toColumns(events)}`
}

const toDetail = (detail: object) =>
  Object.entries(detail)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(' ')

/** The list of what is stuck. */
export function toStuck({ body }: Reply): string {
  const { entries, next } = body as unknown as Page<Stuck>
  const rows = entries.map(({ id, operation, reason, tenant, ageSeconds, nextAttemptAt }) => {
    return [id, operation, reason, `${ageSeconds} s`, nextAttemptAt ?? 'never', tenant]
  })
  const head = ['ID', 'OPERATION', 'REASON', 'AGE', 'NEXT ATTEMPT', 'TENANT']
  return toList('Nothing is stuck.', [head, ...rows], next)
}

/** The list of dead letters. */
export function toLetters({ body }: Reply): string {
  const { entries, next } = body as unknown as Page<Letter>
  const rows = entries.map(({ id, type, attempts, at, reason }) => [id, type, attempts, at, reason])
  return toList(
    'There are no dead letters.',
    [['ID', 'TYPE', 'ATTEMPTS', 'AT', 'REASON'], ...rows],
    next,
  )
}

/** One dead letter with its content. */
export function toLetter({ body }: Reply): string {
  const { content, ...head } = body as unknown as Letter
  const facts = Object.entries(head).filter(([, value]) => value !== null)
  const shown = content === null ? 'It cannot be opened.' : JSON.stringify(content, null, 2)
  return `${toColumns(facts)}\n\n${shown}`
}

function toList(empty: string, rows: readonly (readonly unknown[])[], next: number | null): string {
  if (rows.length === 1 && next === null) return empty
  const more = next === null ? '' : '\n\nThere are more: --limit 100, or resolve some first.'
  return toColumns(rows) + more
}

function toColumns(rows: readonly (readonly unknown[])[]): string {
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
