import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { toInstant } from '../../../../src/core/fingerprint/date-time.ts'

describe('toInstant', () => {
  it.each([
    {
      name: 'offsets',
      texts: [
        '2026-11-24T10:00:00Z',
        '2026-11-24T11:30:00+01:30',
        '2026-11-23T23:00:00-11:00',
        '2026-11-24T10:00:00+00:00',
        '2026-11-24T10:00:00-00:00',
      ],
    },
    {
      name: 'case and space',
      texts: ['2026-11-24T10:00:00Z', '2026-11-24t10:00:00z', '2026-11-24 10:00:00Z'],
    },
    {
      name: 'trailing zeros of a fraction',
      texts: [
        '2026-11-24T10:00:00Z',
        '2026-11-24T10:00:00.0Z',
        '2026-11-24T10:00:00.000000000000Z',
      ],
    },
    {
      name: 'the leap second of RFC 3339 §5.8',
      texts: ['1990-12-31T23:59:60Z', '1990-12-31T15:59:60-08:00'],
    },
    {
      name: 'a year that ends elsewhere',
      texts: ['2025-01-01T00:30:00+01:00', '2024-12-31T23:30:00Z'],
    },
    { name: 'a leap day', texts: ['2024-02-29T23:30:00-01:00', '2024-03-01T00:30:00Z'] },
    {
      name: 'a leap day of a full century',
      texts: ['2000-02-29T23:30:00-01:00', '2000-03-01T00:30:00Z'],
    },
    {
      name: 'the years before the first',
      texts: ['0000-01-01T00:00:00+01:00', '0000-01-01T01:00:00+02:00'],
    },
  ])('takes for one instant what differs in $name', ({ texts }) => {
    const instants = new Set(texts.map(toInstant))
    expect(instants.size).toBe(1)
    expect(instants).not.toContain(undefined)
  })

  it.each([
    { one: '2026-11-24T10:00:00Z', other: '2026-11-24T10:00:00.000000000000000000001Z' },
    { one: '2026-11-24T10:00:00.1Z', other: '2026-11-24T10:00:00.01Z' },
    { one: '2026-11-24T10:00:01Z', other: '2026-11-24T10:01:00Z' },
    { one: '1990-12-31T23:59:60Z', other: '1991-01-01T00:00:00Z' },
    { one: '2026-11-24T10:00:00+01:00', other: '2026-11-24T10:00:00-01:00' },
  ])('tells $one from $other', ({ one, other }) => {
    expect(toInstant(one)).not.toBe(toInstant(other))
  })

  it.each([
    '',
    '2026-11-24',
    '2026-11-24T10:00:00',
    '2026-11-24T10:00Z',
    '2026-11-24T10:00:00.Z',
    '2026-11-24T10:00:00,5Z',
    '2026-11-24T10:00:00+0100',
    '2026-11-24T10:00:00+01',
    '2026-13-01T10:00:00Z',
    '2026-00-01T10:00:00Z',
    '2026-11-00T10:00:00Z',
    '2026-11-31T10:00:00Z',
    '2026-02-29T10:00:00Z',
    '1900-02-29T10:00:00Z',
    '2026-11-24T24:00:00Z',
    '2026-11-24T10:60:00Z',
    '2026-11-24T10:00:61Z',
    '2026-11-24T10:00:60Z',
    '2026-11-24T10:00:00+24:00',
    '2026-11-24T10:00:00+00:60',
    '2026-11-24T10:00:00ZZ',
    ' 2026-11-24T10:00:00Z',
    '2026-11-24T10:00:00Z\n',
    '26-11-24T10:00:00Z',
    '+2026-11-24T10:00:00Z',
    '２026-11-24T10:00:00Z',
    '2026-11-24_10:00:00Z',
  ])('takes %j for no date-time', (text) => {
    expect(toInstant(text)).toBeUndefined()
  })

  it('counts minutes as the calendar of the platform does', () => {
    const date = fc.date({
      min: new Date('0000-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(date, (at) => {
        const minutes = Math.floor(at.getTime() / 60_000)
        expect(toInstant(at.toISOString())).toMatch(new RegExp(`^@${minutes}:`))
      }),
    )
  })

  it('takes linear time for digits without end', () => {
    expect(toInstant(`2026-11-24T10:00:00.${'0'.repeat(1e6)}1Z`)).toBeTypeOf('string')
    expect(toInstant(`2026-11-24T10:00:00.${'0'.repeat(1e6)}`)).toBeUndefined()
  })
})
