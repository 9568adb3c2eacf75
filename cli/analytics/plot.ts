const STEPS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** A bar for a part of the whole, between 0 and 1. Nothing but 0 has no bar. */
export function toBar(part: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * width * EIGHTHS.length)
  const drawn = part > 0 ? Math.max(1, eighths) : 0
  return '█'.repeat(Math.floor(drawn / EIGHTHS.length)) + EIGHTHS[drawn % EIGHTHS.length]
}

/** A line of columns, the highest as high as a letter. Nothing but 0 has no column. */
export function toSparkline(values: readonly number[]): string {
  const highest = Math.max(...values, 0)
  return values
    .map((value) => {
      if (value <= 0) return ' '
      return STEPS[Math.max(0, Math.ceil((value / highest) * STEPS.length) - 1)]
    })
    .join('')
}
