const COUNT = new Intl.NumberFormat('en')
const SHARE = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })

export const formatCount = (value: number): string => COUNT.format(value)
export const formatShare = (value: number): string => SHARE.format(value)

/** A moment, in the reader's own time. */
export const formatTime = (at: string | number): string =>
  withoutMarks(new Date(at).toLocaleString())

/** The time of day of a moment, in the reader's own time. */
export const formatClock = (at: string | number): string =>
  withoutMarks(new Date(at).toLocaleTimeString())

/** Some languages have marks of direction in their dates. */
const withoutMarks = (text: string) => text.replaceAll(/\p{Cf}/gu, '')

/** Milliseconds for people. */
export function formatMs(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`
  return value < 60_000 ? `${(value / 1_000).toFixed(1)} s` : formatAge(value / 1_000)
}

/** Seconds for people: the two largest units. */
export function formatAge(seconds: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const
  let rest = Math.floor(seconds)
  const parts = units.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return count > 0 ? [`${count} ${unit}`] : []
  })
  return parts.slice(0, 2).join(' ') || '0 s'
}

const UNITS: Readonly<Record<string, string>> = {
  ms: 'millisecond',
  s: 'second',
  m: 'minute',
  h: 'hour',
  d: 'day',
}

/** A duration such as `30d` in words. */
export function formatDuration(duration: string): string {
  const [, amount = '', unit = ''] = /^([\d.]+)(\w+)$/.exec(duration) ?? []
  return `${amount} ${UNITS[unit] ?? unit}${amount === '1' ? '' : 's'}`
}
