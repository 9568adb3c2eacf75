import { describe, expect, it } from 'vitest'

import { mismatchStatusOf, PRESETS, toStripeError } from '../../../../src/core/response/preset.ts'
import { PROBLEMS, type ProblemSlug } from '../../../../src/core/response/problem.ts'

const SLUGS = Object.keys(PROBLEMS) as ProblemSlug[]

describe('mismatchStatusOf', () => {
  it.each([
    { preset: 'default', expected: 409 },
    { preset: 'ietf', expected: 422 },
    { preset: 'stripe', expected: 400 },
  ] as const)('is $expected under $preset', ({ preset, expected }) => {
    expect(mismatchStatusOf(preset)).toBe(expected)
  })

  it('has a status for every preset', () => {
    expect(PRESETS).toEqual(['default', 'ietf', 'stripe'])
  })
})

describe('toStripeError', () => {
  it.each([
    { slug: 'key-reused', status: 400, expected: { type: 'idempotency_error' } },
    { slug: 'key-expired', status: 410, expected: { type: 'idempotency_error' } },
    {
      slug: 'in-progress',
      status: 409,
      expected: { type: 'idempotency_error', code: 'idempotency_key_in_use' },
    },
    { slug: 'outcome-unknown', status: 409, expected: { type: 'idempotency_error' } },
    {
      slug: 'rate-limited',
      status: 429,
      expected: { type: 'invalid_request_error', code: 'rate_limit' },
    },
    { slug: 'key-missing', status: 400, expected: { type: 'invalid_request_error' } },
    { slug: 'tenant-missing', status: 401, expected: { type: 'invalid_request_error' } },
    { slug: 'origin-timeout', status: 504, expected: { type: 'api_error' } },
    { slug: 'gateway-misconfigured', status: 500, expected: { type: 'api_error' } },
  ] as const)('tells $slug as $expected.type', ({ slug, status, expected }) => {
    expect(toStripeError(slug, status)).toEqual(expected)
  })

  it.each([
    { status: 400, expected: 'invalid_request_error' },
    { status: 499, expected: 'invalid_request_error' },
    { status: 500, expected: 'api_error' },
    { status: 503, expected: 'api_error' },
  ])('tells what Stripe has no word for by its status: $status', ({ status, expected }) => {
    expect(toStripeError('store-unavailable', status)).toEqual({ type: expected })
  })

  it("has one of Stripe's types for every problem, and blames the server for 5xx alone", () => {
    for (const slug of SLUGS) {
      const { status } = PROBLEMS[slug]
      const { type } = toStripeError(slug, status)
      expect(['api_error', 'idempotency_error', 'invalid_request_error']).toContain(type)
      expect({ slug, isBlamed: type === 'api_error' }).toEqual({ slug, isBlamed: status >= 500 })
    }
  })
})
