import type { Row } from '../../src/analytics/client.ts'

/** Rows as a JSON array, one row a line. */
export function toJson(rows: readonly Row[]): string {
  if (rows.length === 0) return '[]\n'
  return `[\n${rows.map((row) => `  ${JSON.stringify(row)}`).join(',\n')}\n]\n`
}
