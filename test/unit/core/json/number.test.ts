import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { toCanonicalNumber } from '../../../../src/core/json/number.ts'

/** digits × 10^exponent, of which there is one exact value. */
const decimal = fc.record({
  digits: fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
  exponent: fc.integer({ min: -60, max: 60 }),
})

interface Decimal {
  readonly digits: bigint
  readonly exponent: number
}

const literalOf = ({ digits, exponent }: Decimal) => `${digits}e${exponent}`
const scaled = ({ digits, exponent }: Decimal) => digits * 10n ** BigInt(exponent + 60)

describe('toCanonicalNumber', () => {
  it.each([
    {
      expected: '1',
      literals: ['1', '1.0', '1e0', '10e-1', '0.1e1', '1E+0', '1.000e-0', '100e-00002'],
    },
    {
      expected: '0',
      literals: [
        '0',
        '-0',
        '0.0',
        '-0.0e5',
        '0e0',
        '0e99999999999999999999',
        '-0e-99999999999999999999',
      ],
    },
    { expected: '-1.5', literals: ['-1.5', '-15e-1', '-0.15e1', '-1.50'] },
    {
      expected: '9007199254740993',
      literals: ['9007199254740993', '9007199254740993.0', '9007199254.740993e6'],
    },
    { expected: '9007199254740992', literals: ['9007199254740992'] },
    { expected: '1e+400', literals: ['1e400', '10e399', '0.001e403', '1E+0400'] },
    { expected: '1e-400', literals: ['1e-400', '0.1e-399'] },
    { expected: '100000000000000000000', literals: ['1e20', '100000000000000000000'] },
    { expected: '1e+21', literals: ['1e21', '1000000000000000000000'] },
    {
      expected: '123456789012345678901',
      literals: ['123456789012345678901', '1.23456789012345678901e20'],
    },
    { expected: '1.234567890123456789012e+21', literals: ['1234567890123456789012'] },
    { expected: '0.000001', literals: ['1e-6', '0.000001'] },
    { expected: '1e-7', literals: ['1e-7', '0.0000001', '10e-8'] },
    { expected: '0.0000012', literals: ['12e-7', '0.0000012'] },
    { expected: '1.2e-7', literals: ['12e-8', '0.00000012'] },
  ])('writes $expected for $literals', ({ literals, expected }) => {
    expect(literals.map(toCanonicalNumber)).toEqual(literals.map(() => expected))
  })

  it('writes every double as ECMAScript does', () => {
    const double = fc.double({ noNaN: true, noDefaultInfinity: true })
    fc.assert(
      fc.property(double, (value) => {
        expect(toCanonicalNumber(JSON.stringify(value))).toBe(JSON.stringify(value))
      }),
      { numRuns: 1000 },
    )
  })

  it('writes what a double can tell apart, up to 15 digits, as RFC 8785 does', () => {
    const double = fc.double({ noNaN: true, min: 1e-300, max: 1e300 })
    fc.assert(
      fc.property(double, fc.integer({ min: 0, max: 14 }), (value, digits) => {
        const literal = value.toExponential(digits)
        expect(toCanonicalNumber(literal)).toBe(JSON.stringify(Number(literal)))
      }),
      { numRuns: 1000 },
    )
  })

  it('gives two decimals one text exactly when they are equal', () => {
    fc.assert(
      fc.property(decimal, decimal, fc.nat(20), (one, other, zeros) => {
        const padded = { digits: one.digits * 10n ** BigInt(zeros), exponent: one.exponent - zeros }
        expect(toCanonicalNumber(literalOf(padded))).toBe(toCanonicalNumber(literalOf(one)))
        const isEqual = toCanonicalNumber(literalOf(one)) === toCanonicalNumber(literalOf(other))
        expect(isEqual).toBe(scaled(one) === scaled(other))
        const next = { ...one, digits: one.digits + 1n }
        expect(toCanonicalNumber(literalOf(next))).not.toBe(toCanonicalNumber(literalOf(one)))
      }),
    )
  })

  it.each([
    { literal: '1e9007199254740991', expected: '1e+9007199254740991' },
    { literal: '1e9007199254740992', expected: undefined },
    { literal: '10e9007199254740991', expected: undefined },
    { literal: '1e9007199254740990', expected: '1e+9007199254740990' },
    { literal: '0.1e9007199254740991', expected: '1e+9007199254740990' },
    { literal: '0.001e9007199254740993', expected: '1e+9007199254740990' },
    { literal: '1e9007199254740993', expected: undefined },
    { literal: '1e-9007199254740991', expected: '1e-9007199254740991' },
    { literal: '1e-9007199254740992', expected: undefined },
    { literal: '0.1e-9007199254740991', expected: undefined },
    { literal: `1e${'9'.repeat(100_000)}`, expected: undefined },
    { literal: `1e${'0'.repeat(100_000)}7`, expected: '10000000' },
  ])('bounds the exponent: $literal', ({ literal, expected }) => {
    expect(toCanonicalNumber(literal)).toBe(expected)
  })
})
