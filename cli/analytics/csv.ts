import type { Row, Value } from '../../src/analytics/client.ts'
import { toVisibleLines } from '../../src/core/visible.ts'

/**
 * Rows as RFC 4180 has them, with a header; nothing where there are no rows. Text that a spreadsheet
 * would take for a formula is marked as text, since names come from clients.
 */
export function toCsv(rows: readonly Row[]): string {
  const [first] = rows
  if (first === undefined) return ''
  const lines = [Object.keys(first), ...rows.map((row) => Object.values(row))]
  return lines.map((values) => `${values.map(toField).join(',')}\r\n`).join('')
}

/** What begins a formula, also in full width and behind blanks (OWASP, CSV Injection). */
const FORMULA = /^(?:[\t\r\n]|\s*[=+\-@＝＋－＠])/u

/** Besides RFC 4180's own: what separates columns in some countries, or in TSV. */
const SPECIAL = /[",;\t\r\n]/

function toField(value: Value): string {
  return typeof value === 'string' ? toTextField(toVisibleCell(value)) : String(value ?? '')
}

/** Line ends stay within their quotes; whatever else is not seen stands as visible text. */
const toVisibleCell = (text: string) => text.split('\r').map(toVisibleLines).join('\r')

function toTextField(value: string): string {
  if (FORMULA.test(value)) return quote(`'${value}`)
  return SPECIAL.test(value) ? quote(value) : value
}

const quote = (text: string) => `"${text.replaceAll('"', '""')}"`
