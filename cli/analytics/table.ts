import type { Row } from '../../src/analytics/client.ts'
import { toVisible } from '../../src/core/visible.ts'
import { format } from './format.ts'
import { toBar } from './plot.ts'

const BAR_WIDTH = 16
const GAP = '  '

/**
 * Rows as a table for people. Columns that are empty in every row are left out.
 *
 * @param bar Column whose numbers get a bar each, the highest the longest.
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
  return values.map((value) => toBar(highest === 0 ? 0 : value / highest, BAR_WIDTH))
}
