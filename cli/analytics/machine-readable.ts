import type { Row, Value } from '../../src/analytics/client.ts'
import { toVisible, toVisibleLines } from '../../src/core/visible.ts'

/** Rows as a JSON array, one row a line. Characters that a terminal would interpret are escaped. */
export function toJson(rows: readonly Row[]): string {
  if (rows.length === 0) return '[]\n'
  return `[\n${rows.map((row) => `  ${toVisible(JSON.stringify(row))}`).join(',\n')}\n]\n`
}

/**
 * Rows as CSV with a header (RFC 4180); empty if there are no rows. Text that a spreadsheet would
 * take for a formula is marked as text, since names come from clients.
 */
export function toCsv(rows: readonly Row[]): string {
  const [first] = rows
  if (first === undefined) return ''
  const lines = [Object.keys(first), ...rows.map((row) => Object.values(row))]
  return lines.map((values) => `${values.map(toField).join(',')}\r\n`).join('')
}

/** The begin of a formula, also in full width and behind blanks (OWASP, CSV Injection). */
const FORMULA = /^(?:[\t\r\n]|\s*[=+\-@＝＋－＠])/u

/** RFC 4180's own, and the separators of columns in some countries and in TSV. */
const SPECIAL = /[",;\t\r\n]/

function toField(value: Value): string {
  return typeof value === 'string' ? toTextField(toVisibleCell(value)) : String(value ?? '')
}

/** Line ends stay, within quotes. Other invisible characters are escaped. */
const toVisibleCell = (text: string) => text.split('\r').map(toVisibleLines).join('\r')

function toTextField(value: string): string {
  if (FORMULA.test(value)) return quote(`'${value}`)
  return SPECIAL.test(value) ? quote(value) : value
}

const quote = (text: string) => `"${text.replaceAll('"', '""')}"`
