import { type Answer, headerOf, statusOf } from './client.ts'
import type { Effect } from './origin/ledger-page.ts'

/** What a scene is judged by. */
export interface Numbers {
  /** From the ledger of the API. */
  effects: number
  /** Answers that say `Idempotency-Status: executed`. */
  executed: number
  /** Answers that say `replayed` or `joined`. */
  repeated: number
  /** Answers that refuse the key for another payload. */
  conflicts: number
}

/** A scene as it went. */
export interface Row extends Numbers {
  title: string
  requests: number
  /** Empty when all is as it must be. */
  complaints: readonly string[]
}

/** What `toRow` judges. */
export interface Played {
  title: string
  expected: Numbers
  answers: readonly Answer[]
  /** The side effects of the scene, from the ledger. */
  effects: readonly Effect[]
  /** What the scene itself found. */
  complaints: readonly string[]
}

const columns = ['requests', 'side effects', 'executed', 'replayed/joined', 'conflicts'] as const
const kept = new Set(['executed', 'replayed', 'joined'])

/** Counts what happened and compares it with what must have happened. */
export function toRow({ title, expected, answers, effects, complaints }: Played): Row {
  const numbers = { ...countsOf(answers), effects: effects.length }
  return {
    title,
    requests: answers.length,
    ...numbers,
    complaints: [
      ...numberComplaints(numbers, expected),
      ...shortened(answerComplaints(answers)),
      ...shortened(keyComplaints(effects)),
      ...complaints,
    ],
  }
}

/** Lays the rows out as a table with a line of totals. */
export function toTable(rows: readonly Row[]): string {
  const total = (of: (row: Row) => number) => rows.reduce((sum, row) => sum + of(row), 0)
  const totals: Row = {
    title: 'total',
    requests: total((row) => row.requests),
    effects: total((row) => row.effects),
    executed: total((row) => row.executed),
    repeated: total((row) => row.repeated),
    conflicts: total((row) => row.conflicts),
    complaints: rows.flatMap((row) => row.complaints),
  }
  const cells = [['scene', ...columns, 'ok'], ...[...rows, totals].map((row) => cellsOf(row))]
  const widths = ['', ...columns, ''].map((_, column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  )
  const lines = cells.map((line) => lineOf(line, widths))
  const rule = widths.map((width) => '-'.repeat(width)).join('-|-')
  return [lines[0], rule, ...lines.slice(1, -1), rule, lines.at(-1)].join('\n')
}

function countsOf(answers: readonly Answer[]): Omit<Numbers, 'effects'> {
  const count = (...statuses: string[]) =>
    answers.filter((answer) => statuses.includes(idempotencyStatusOf(answer))).length
  return {
    executed: count('executed'),
    repeated: count('replayed', 'joined'),
    conflicts: count('mismatch'),
  }
}

function numberComplaints(is: Numbers, expected: Numbers): string[] {
  const names = ['effects', 'executed', 'repeated', 'conflicts'] as const
  return names
    .filter((name) => is[name] !== expected[name])
    .map((name) => `${name}: expected ${expected[name]}, got ${is[name]}`)
}

/** A hundred answers may all be wrong in the same way. */
function shortened(complaints: string[], most = 3): string[] {
  const more = complaints.length - most
  return more > 0 ? [...complaints.slice(0, most), `and ${more} more like this`] : complaints
}

/** Whoever got the outcome of the operation got the same one, and it was a success. */
function answerComplaints(answers: readonly Answer[]): string[] {
  const outcomes = answers.filter((answer) => kept.has(idempotencyStatusOf(answer)))
  const distinct = new Set(outcomes.map((answer) => contentOf(answer)))
  return [
    ...(distinct.size > 1
      ? [`the responses differ:\n      ${[...distinct].join('\n      ')}`]
      : []),
    ...outcomes
      .filter((answer) => statusOf(answer) !== 201)
      .map((answer) => `expected status 201, got ${contentOf(answer)}`),
    ...answers.filter((answer) => isStray(answer)).map((answer) => `got ${contentOf(answer)}`),
  ]
}

function keyComplaints(effects: readonly Effect[]): string[] {
  return effects
    .filter(({ key, attempt }) => key === null || key.startsWith('demo-') || attempt !== 1)
    .map(({ key, attempt }) => `the API received Idempotency-Key ${key} and attempt ${attempt}`)
}

/** An answer that is neither an outcome nor one of the refusals that the scenes provoke. */
function isStray(answer: Answer): boolean {
  if (answer.kind === 'lost') return false
  const status = idempotencyStatusOf(answer)
  return !kept.has(status) && status !== 'mismatch' && status !== 'in-progress'
}

function idempotencyStatusOf(answer: Answer): string {
  return headerOf(answer, 'Idempotency-Status') ?? ''
}

function contentOf(answer: Answer): string {
  return answer.kind === 'lost'
    ? `no response: ${answer.reason}`
    : `${answer.status} ${answer.body}`
}

function cellsOf({ title, requests, effects, executed, ...row }: Row): string[] {
  const numbers = [requests, effects, executed, row.repeated, row.conflicts]
  return [title, ...numbers.map(String), row.complaints.length === 0 ? 'yes' : 'NO']
}

function lineOf(
  [title = '', ...cells]: readonly string[],
  [first = 0, ...widths]: number[],
): string {
  const right = cells.map((cell, column) => cell.padStart(widths[column] ?? 0))
  return [title.padEnd(first), ...right].join(' | ')
}
