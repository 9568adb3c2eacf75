const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A length of time: a number and a unit, as in `'250ms'`, `'10s'`, `'24h'` or `'7d'`; a number alone counts milliseconds. */
export type Duration = number | `${number}${keyof typeof UNITS}`

const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/

/** @returns Whole milliseconds, or `null` when the value is not a duration. */
export function parseDuration(value: unknown): number | null {
  if (typeof value === 'number')
    return Number.isFinite(value) && value >= 0 ? Math.round(value) : null
  const [, amount, unit] = (typeof value === 'string' && PATTERN.exec(value)) || []
  if (amount === undefined || unit === undefined) return null
  return parseDuration(Number(amount) * UNITS[unit as keyof typeof UNITS])
}
