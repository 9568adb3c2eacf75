import type { Row } from '../../src/analytics/client.ts'
import { toVisible } from '../../src/core/visible.ts'

/** Rows as a JSON array, one row a line, in which nothing is raw that a terminal would obey. */
export function toJson(rows: readonly Row[]): string {
  if (rows.length === 0) return '[]\n'
  return `[\n${rows.map((row) => `  ${toVisible(JSON.stringify(row))}`).join(',\n')}\n]\n`
}
