/** ECMAScript Number::toString, which RFC 8785 §3.2.2.3 takes over, writes no exponent up to here … */
const PLAIN_DIGITS = 21
/** … and from here. */
const PLAIN_LEADING_ZEROS = 6
/** A longer exponent is out of range whatever the digits before it: nobody sends 10¹⁶ of them. */
const MAX_EXPONENT_DIGITS = 17

/** A decimal other than zero: 0.`digits` × 10^`point`, no zero at either end of the digits. */
interface Decimal {
  readonly digits: string
  readonly point: number
}

/**
 * Writes a JSON number in the one form that all literals of the same exact decimal value share.
 *
 * The form is ECMAScript's for that decimal (`100`, `0.001`, `1e+21`, `1e-7`). No double is in
 * between, so 9007199254740993 stays what it is.
 *
 * @param literal A number by the grammar of RFC 8259 §6.
 * @returns `undefined` where the exponent of the normalised value is no safe integer.
 */
export function toCanonicalNumber(literal: string): string | undefined {
  const sign = literal.startsWith('-') ? '-' : ''
  const mark = Math.max(literal.indexOf('e'), literal.indexOf('E'))
  const mantissaEnd = mark === -1 ? literal.length : mark
  const { digits, point } = toDecimal(literal.slice(sign.length, mantissaEnd))
  if (digits === '') return '0'
  const exponent = mark === -1 ? 0n : toExponent(literal.slice(mark + 1))
  if (exponent === undefined) return undefined
  const normalised = Number(BigInt(point - 1) + exponent)
  if (!Number.isSafeInteger(normalised)) return undefined
  return sign + format({ digits, point: normalised + 1 })
}

function toDecimal(mantissa: string): Decimal {
  const dot = mantissa.indexOf('.')
  const integerLength = dot === -1 ? mantissa.length : dot
  const all = dot === -1 ? mantissa : mantissa.slice(0, dot) + mantissa.slice(dot + 1)
  let start = 0
  let end = all.length
  while (start < end && all.charCodeAt(start) === ZERO) start += 1
  while (end > start && all.charCodeAt(end - 1) === ZERO) end -= 1
  return { digits: all.slice(start, end), point: integerLength - start }
}

const ZERO = 0x30

function toExponent(text: string): bigint | undefined {
  const isNegative = text.startsWith('-')
  let start = isNegative || text.startsWith('+') ? 1 : 0
  while (start < text.length - 1 && text.charCodeAt(start) === ZERO) start += 1
  if (text.length - start > MAX_EXPONENT_DIGITS) return undefined
  const magnitude = BigInt(text.slice(start))
  return isNegative ? -magnitude : magnitude
}

function format({ digits, point }: Decimal): string {
  const count = digits.length
  if (count <= point && point <= PLAIN_DIGITS) return digits + '0'.repeat(point - count)
  if (point > 0 && point <= PLAIN_DIGITS) return `${digits.slice(0, point)}.${digits.slice(point)}`
  if (point > -PLAIN_LEADING_ZEROS && point <= 0) return `0.${'0'.repeat(-point)}${digits}`
  const fraction = count === 1 ? '' : `.${digits.slice(1)}`
  const exponent = point - 1
  return `${digits.charAt(0)}${fraction}e${exponent < 0 ? '' : '+'}${exponent}`
}
