import type { Value } from '../../src/analytics/client.ts'
import { toVisible } from '../../src/core/visible.ts'

const SECOND = 1_000
const UNITS = [
  { name: 'd', ms: 86_400 * SECOND },
  { name: 'h', ms: 3_600 * SECOND },
  { name: 'min', ms: 60 * SECOND },
  { name: 's', ms: SECOND },
] as const

/** A value as people read it, by what the name of its column says that it is. */
export function format(column: string, value: Value): string {
  if (value === null) return '–'
  if (typeof value !== 'number') return toLine(column, String(value))
  if (column.endsWith('_share')) return `${(value * 100).toFixed(1)} %`
  if (column.endsWith('_ms')) return toDuration(value)
  if (column.endsWith('_seconds')) return toDuration(value * SECOND)
  return value.toLocaleString('en-US', { maximumFractionDigits: 2 })
}

/** A duration in the unit that fits it. */
export function toDuration(ms: number): string {
  const unit = UNITS.find((known) => ms >= known.ms)
  if (unit === undefined) return `${Math.round(ms)} ms`
  const amount = ms / unit.ms
  return `${amount >= 10 ? Math.round(amount) : amount.toFixed(1)} ${unit.name}`
}

/** What came from outside is one line of text. */
function toLine(column: string, text: string): string {
  const isTime = column === 'bucket' || column.endsWith('_at')
  return toVisible(isTime ? text.replace('T', ' ').replace('Z', '') : text)
}
