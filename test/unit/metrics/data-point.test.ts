import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { toDataPoint } from '../../../src/metrics/data-point.ts'
import { requestFactsOf } from '../../fakes/build.ts'

const byteLength = (text: string) => new TextEncoder().encode(text).byteLength

describe('toDataPoint', () => {
  it('puts every fact into its column', () => {
    const facts = requestFactsOf({
      status: 'mismatch',
      problem: 'key-reused',
      fence: 2,
      disposition: 'ack',
      origin: 'payments',
    })
    expect(toDataPoint(facts)).toEqual({
      indexes: ['tenant-1'],
      blobs: [
        'POST /payments',
        'POST',
        'mismatch',
        'key-reused',
        'succeeded',
        'tenant-1',
        'correlation-1',
        'operation-1',
        'taken',
        '',
        'header',
        'ack',
        'trace-1',
        'payments',
      ],
      doubles: [1, 201, 2, 70, 20, 40, 10, 5, 64, 3],
    })
  })

  it('keeps every later column in its place when a fact is absent', () => {
    const absent = { problem: null, outcome: null, tenant: null, operationId: null, settle: null }
    const { indexes, blobs } = toDataPoint(requestFactsOf(absent))
    expect(indexes).toEqual([''])
    expect(blobs).toEqual([
      'POST /payments',
      'POST',
      'executed',
      '',
      '',
      '',
      'correlation-1',
      '',
      '',
      '',
      'header',
      '',
      'trace-1',
      '',
    ])
  })

  it.each([
    { name: '96 letters', tenant: 'a'.repeat(96), expected: 'a'.repeat(96) },
    { name: '97 letters', tenant: 'a'.repeat(97), expected: 'a'.repeat(96) },
    {
      name: 'a letter that ends at byte 96',
      tenant: `${'a'.repeat(94)}éa`,
      expected: `${'a'.repeat(94)}é`,
    },
    {
      name: 'a letter of two bytes over byte 96',
      tenant: `${'a'.repeat(95)}é`,
      expected: 'a'.repeat(95),
    },
    {
      name: 'a letter of three bytes over byte 96',
      tenant: `${'a'.repeat(94)}€`,
      expected: 'a'.repeat(94),
    },
    {
      name: 'a letter of four bytes over byte 96',
      tenant: `${'a'.repeat(93)}😀`,
      expected: 'a'.repeat(93),
    },
  ])('cuts a tenant with $name at a character, within 96 bytes', ({ tenant, expected }) => {
    const { indexes, blobs } = toDataPoint(requestFactsOf({ tenant }))
    expect(indexes).toEqual([expected])
    expect(blobs?.[5]).toBe(expected)
  })

  it('never has an index over 96 bytes, nor another name than the tenant begins with', () => {
    const unit = fc.constantFrom('a', 'é', '€', '😀')
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 120 }), (tenant) => {
        const index = toDataPoint(requestFactsOf({ tenant })).blobs?.[5]
        if (typeof index !== 'string') throw new Error('The column of the tenant is a text.')
        expect(byteLength(index)).toBeLessThanOrEqual(96)
        expect(tenant.startsWith(index)).toBe(true)
        expect(byteLength(index)).toBeGreaterThan(Math.min(byteLength(tenant), 96) - 4)
      }),
    )
  })
})
