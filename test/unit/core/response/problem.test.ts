import { describe, expect, it } from 'vitest'

import {
  isProblemSlug,
  problem,
  PROBLEMS,
  type ProblemSlug,
} from '../../../../src/core/response/problem.ts'
import { WHAT_TO_DO } from '../../../../src/core/response/retry-word.ts'

describe('problem', () => {
  it.each([
    { slug: 'request-invalid', status: 400, retry: 'never', retryable: false },
    { slug: 'key-missing', status: 400, retry: 'never', retryable: false },
    { slug: 'key-invalid', status: 400, retry: 'never', retryable: false },
    { slug: 'tenant-missing', status: 401, retry: 'never', retryable: false },
    { slug: 'payload-too-large', status: 413, retry: 'never', retryable: false },
    { slug: 'payload-invalid', status: 400, retry: 'never', retryable: false },
    { slug: 'key-reused', status: 409, retry: 'new-key', retryable: false },
    { slug: 'in-progress', status: 409, retry: 'wait', retryable: true },
    { slug: 'outcome-unknown', status: 409, retry: 'never', retryable: false },
    { slug: 'key-expired', status: 410, retry: 'new-key', retryable: false },
    { slug: 'origin-unreachable', status: 502, retry: 'same-key', retryable: true },
    { slug: 'origin-timeout', status: 504, retry: 'never', retryable: false },
    { slug: 'gateway-misconfigured', status: 500, retry: 'never', retryable: false },
    { slug: 'circuit-open', status: 503, retry: 'same-key', retryable: true },
    { slug: 'rate-limited', status: 429, retry: 'same-key', retryable: true },
    { slug: 'store-unavailable', status: 503, retry: 'same-key', retryable: true },
    { slug: 'operation-not-found', status: 404, retry: 'never', retryable: false },
    { slug: 'result-not-kept', status: 409, retry: 'never', retryable: false },
    { slug: 'snapshot-too-large', status: 409, retry: 'never', retryable: false },
    { slug: 'claim-invalid', status: 400, retry: 'never', retryable: false },
    { slug: 'claim-lost', status: 409, retry: 'never', retryable: false },
  ] as const)(
    'answers $slug with $status, and says about a retry: $retry',
    ({ slug, status, retry, retryable }) => {
      expect(problem(slug, 'What happened.')).toEqual({
        slug,
        status,
        title: PROBLEMS[slug].title,
        detail: 'What happened.',
        retry,
        retryable,
        retryAfterMs: null,
        differences: null,
      })
    },
  )

  it.each([
    { name: 'another status', over: { status: 422 }, expected: { status: 422, retryable: false } },
    { name: 'a wait', over: { retry: 'wait' }, expected: { retry: 'wait', retryable: true } },
    {
      name: 'a time to wait',
      over: { retry: 'same-key', retryAfterMs: 1_500 },
      expected: { retryAfterMs: 1_500, retryable: true },
    },
  ] as const)('lets one occurrence have $name', ({ over, expected }) => {
    expect(problem('key-reused', 'What happened.', over)).toMatchObject(expected)
  })
})

describe('PROBLEMS', () => {
  it('has every problem in the table above', () => {
    expect(Object.keys(PROBLEMS)).toHaveLength(21)
  })

  it('has a name fit for a URL, a title and a paragraph for every problem', () => {
    for (const [slug, kind] of Object.entries(PROBLEMS)) {
      expect(slug).toMatch(/^[a-z]+(?:-[a-z]+)*$/)
      expect(kind.title).toMatch(/^[A-Z].*[^.]$/)
      expect(kind.about).toMatch(/^[A-Z].*\.$/)
      expect(kind.status).toBeGreaterThanOrEqual(400)
    }
  })
})

describe('isProblemSlug', () => {
  it.each([
    { text: 'key-reused', expected: true },
    { text: 'key-reused ', expected: false },
    { text: '', expected: false },
    { text: 'constructor', expected: false },
    { text: '__proto__', expected: false },
  ])('says $expected of "$text"', ({ text, expected }) => {
    expect(isProblemSlug(text)).toBe(expected)
  })

  it('knows every problem', () => {
    const slugs = Object.keys(PROBLEMS) as ProblemSlug[]
    expect(slugs.filter((slug) => !isProblemSlug(slug))).toEqual([])
  })
})

describe('PROBLEMS', () => {
  it('has no text that would have to be escaped in HTML', () => {
    const texts = Object.values(PROBLEMS).flatMap(({ title, about }) => [title, about])
    expect([...texts, ...Object.values(WHAT_TO_DO)].join()).not.toMatch(/[&<>"']/)
  })
})
