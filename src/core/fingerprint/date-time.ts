/** RFC 3339 §5.6, with the lower case and the space that its notes allow. Linear: nothing in it can match in two ways. */
const DATE_TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

const MINUTES_IN_DAY = 1440
const MS_IN_MINUTE = 60_000
const LAST_MINUTE_OF_DAY = MINUTES_IN_DAY - 1

interface DateTime {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly offsetHour: number
  readonly offsetMinute: number
}

/**
 * Names the instant of an RFC 3339 date-time, or gives `undefined` where the text is none.
 *
 * The name, `@<minutes since 1970>:<seconds>[.<fraction>]`, is exact at any number of fraction
 * digits and is no JSON value, so no other payload can spell it. A leap second (`:60`) is an
 * instant of its own, and one only in the last minute of a UTC day.
 */
export function toInstant(text: string): string | undefined {
  const match = DATE_TIME.exec(text)
  if (match === null) return undefined
  const dateTime = toDateTime(match)
  if (!isInRange(dateTime)) return undefined
  const minutes = toMinutes(dateTime, match[8] === '-' ? -1 : 1)
  if (dateTime.second === 60 && modulo(minutes, MINUTES_IN_DAY) !== LAST_MINUTE_OF_DAY) {
    return undefined
  }
  return `@${minutes}:${dateTime.second}${toFraction(match[7] ?? '')}`
}

function toDateTime(match: RegExpExecArray): DateTime {
  const field = (index: number) => Number(match[index] ?? 0)
  return {
    year: field(1),
    month: field(2),
    day: field(3),
    hour: field(4),
    minute: field(5),
    second: field(6),
    offsetHour: field(9),
    offsetMinute: field(10),
  }
}

function isInRange(time: DateTime): boolean {
  const isDate = toUtcDate(time).getUTCDate() === time.day && time.month >= 1 && time.month <= 12
  const isTime = time.hour <= 23 && time.minute <= 59 && time.second <= 60
  return isDate && isTime && time.offsetHour <= 23 && time.offsetMinute <= 59
}

function toMinutes(time: DateTime, offsetSign: 1 | -1): number {
  const offset = offsetSign * (time.offsetHour * 60 + time.offsetMinute)
  return toUtcDate(time).getTime() / MS_IN_MINUTE + time.hour * 60 + time.minute - offset
}

/** Midnight in UTC, in another month where this one has no such day. Not `Date.UTC`: for that, 26 is 1926. */
function toUtcDate({ year, month, day }: DateTime): Date {
  // oxlint-disable-next-line no-restricted-globals -- this converts a date and reads no clock
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  return date
}

/** Drops trailing zeros by hand: `/0+$/` is quadratic in zeros that something else follows. */
function toFraction(digits: string): string {
  let end = digits.length
  while (end > 0 && digits[end - 1] === '0') end -= 1
  return end === 0 ? '' : `.${digits.slice(0, end)}`
}

const modulo = (value: number, divisor: number) => ((value % divisor) + divisor) % divisor
