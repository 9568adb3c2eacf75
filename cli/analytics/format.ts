import type { Value } from '../../src/analytics/client.ts'
import { toVisible } from '../../src/core/visible.ts'

const SECOND = 1_000
const UNITS = [
  { name: 'd', ms: 86_400 * SECOND },
  { name: 'h', ms: 3_600 * SECOND },
  { name: 'min', ms: 60 * SECOND },
  { name: 's', ms: SECOND },
] as const

/** Writes a value for people. The name of its column tells its unit. */
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

/** A text from outside stays one line. */
function toLine(column: string, text: string): string {
  const isTime = column === 'bucket' || column.endsWith('_at')
  return toVisible(isTime ? text.replace('T', ' ').replace('Z', '') : text)
}

const STEPS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** A bar for a part of the whole, between 0 and 1. Only 0 has no bar. */
export function toBar(part: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * width * EIGHTHS.length)
  const drawn = part > 0 ? Math.max(1, eighths) : 0
  return '█'.repeat(Math.floor(drawn / EIGHTHS.length)) + EIGHTHS[drawn % EIGHTHS.length]
}

/** A line of columns, the highest as high as a letter. Only 0 has no column. */
export function toSparkline(values: readonly number[]): string {
  const highest = Math.max(...values, 0)
  return values
    .map((value) => {
      if (value <= 0) return ' '
      return STEPS[Math.max(0, Math.ceil((value / highest) * STEPS.length) - 1)]
    })
    .join('')
}
