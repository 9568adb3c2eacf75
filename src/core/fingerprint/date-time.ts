/** RFC 3339 §5.6, with the lower case and the space that its notes allow. Linear: nothing in it can match in two ways. */
const DATE_TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
const MINUTES_IN_DAY = 1440
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
  const isDate = time.day >= 1 && time.day <= daysInMonth(time.year, time.month)
  const isTime = time.hour <= 23 && time.minute <= 59 && time.second <= 60
  return isDate && isTime && time.offsetHour <= 23 && time.offsetMinute <= 59
}

function daysInMonth(year: number, month: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return month === 2 && isLeap ? 29 : (DAYS_IN_MONTH[month - 1] ?? 0)
}

function toMinutes(time: DateTime, offsetSign: 1 | -1): number {
  const offset = offsetSign * (time.offsetHour * 60 + time.offsetMinute)
  return toDays(time) * MINUTES_IN_DAY + time.hour * 60 + time.minute - offset
}

/** Days since 1970-01-01 in the Gregorian calendar: years counted from March, so that the leap day comes last. */
function toDays({ year, month, day }: DateTime): number {
  const marchYear = month <= 2 ? year - 1 : year
  const marchMonth = (month + 9) % 12
  const leapDays =
    Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400)
  return marchYear * 365 + leapDays + Math.floor((153 * marchMonth + 2) / 5) + day - 719_469
}

/** Drops trailing zeros by hand: `/0+$/` is quadratic in zeros that something else follows. */
function toFraction(digits: string): string {
  let end = digits.length
  while (end > 0 && digits[end - 1] === '0') end -= 1
  return end === 0 ? '' : `.${digits.slice(0, end)}`
}

const modulo = (value: number, divisor: number) => ((value % divisor) + divisor) % divisor
