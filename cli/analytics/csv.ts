import type { Row, Value } from '../../src/analytics/client.ts'

/** Rows as RFC 4180 has them, with a header; nothing where there are no rows. */
export function toCsv(rows: readonly Row[]): string {
  const [first] = rows
  if (first === undefined) return ''
  const lines = [Object.keys(first), ...rows.map((row) => Object.values(row))]
  return lines.map((values) => `${values.map(toField).join(',')}\r\n`).join('')
}

function toField(value: Value): string {
  const text = String(value ?? '')
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
