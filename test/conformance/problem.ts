import { expect } from 'vitest'

import type { Reply } from './client.ts'

interface Expected {
  readonly status: number
  readonly retry: 'same-key' | 'new-key' | 'wait' | 'never'
  readonly errorType: string
  /** `Idempotency-Status`; `null` where no route is protected: at the gateway's own resources. */
  readonly word: string | null
}

const KEY = 'idempotency_error'
const REQUEST = 'invalid_request_error'
const API = 'api_error'

/** The table of section 3, and of "Retry word" and "Lost answer" below it. */
export const PROBLEMS = {
  'request-invalid': { status: 400, retry: 'never', errorType: REQUEST, word: 'rejected' },
  'key-missing': { status: 400, retry: 'never', errorType: KEY, word: 'rejected' },
  'key-invalid': { status: 400, retry: 'never', errorType: KEY, word: 'rejected' },
  'tenant-missing': {
    status: 401,
    retry: 'never',
    errorType: 'authentication_error',
    word: 'rejected',
  },
  'payload-too-large': { status: 413, retry: 'never', errorType: REQUEST, word: 'rejected' },
  'payload-invalid': { status: 400, retry: 'never', errorType: REQUEST, word: 'rejected' },
  'key-reused': { status: 409, retry: 'new-key', errorType: KEY, word: 'mismatch' },
  'in-progress': { status: 409, retry: 'wait', errorType: KEY, word: 'in-progress' },
  'outcome-unknown': { status: 409, retry: 'never', errorType: KEY, word: 'unknown' },
  'key-expired': { status: 410, retry: 'new-key', errorType: KEY, word: 'expired' },
  'origin-unreachable': { status: 502, retry: 'same-key', errorType: API, word: 'not-executed' },
  'origin-timeout': { status: 504, retry: 'never', errorType: API, word: 'unknown' },
  'gateway-misconfigured': { status: 500, retry: 'never', errorType: API, word: 'rejected' },
  'circuit-open': { status: 503, retry: 'same-key', errorType: API, word: 'rejected' },
  'rate-limited': {
    status: 429,
    retry: 'same-key',
    errorType: 'rate_limit_error',
    word: 'rejected',
  },
  'store-unavailable': { status: 503, retry: 'same-key', errorType: API, word: 'store-fault' },
  'operation-not-found': { status: 404, retry: 'never', errorType: REQUEST, word: null },
  'result-not-kept': { status: 409, retry: 'never', errorType: KEY, word: 'not-kept' },
  'snapshot-too-large': { status: 409, retry: 'never', errorType: KEY, word: 'too-large' },
} as const satisfies Record<string, Expected>

/** What a mismatch says besides: in which parts of the request, and where in body and query. */
const SAYS_WHERE = {
  differs: expect.any(Array) as unknown,
  pointers: expect.any(Array) as unknown,
  queryPointers: expect.any(Array) as unknown,
}

/** Problems that tell when to come again, besides those whose retry word is `wait`. */
const SAY_WHEN = new Set<string>(['circuit-open', 'rate-limited'])

export type Slug = keyof typeof PROBLEMS

/** Expects a problem with every member and header that the contract promises, and no others. */
export function expectProblem(reply: Reply, slug: Slug, over: Partial<Expected> = {}): void {
  const { status, retry, errorType, word } = { ...PROBLEMS[slug], ...over }
  const retryable = retry === 'same-key' || retry === 'wait'
  const document = reply.json() as { detail: string; correlationId: string }
  const correlationId = expect.stringMatching(/^[\w.:=+/-]{1,128}$/) as string
  expect(document).toEqual({
    type: expect.stringMatching(new RegExp(`^http://[^/]+/_hapax/problems/${slug}$`)),
    title: expect.stringMatching(/^\S.{5,}/),
    status,
    detail: expect.stringMatching(/^[A-Z].{20,}\.$/),
    message: document.detail,
    instance: expect.stringMatching(/^\/\S+$/),
    retryable,
    retry,
    correlationId,
    ...(slug === 'key-reused' ? SAYS_WHERE : {}),
    error: { type: errorType, code: slug, message: document.detail },
  })
  expect({ status: reply.status, ...reply.headers }).toMatchObject({
    status,
    'content-type': 'application/problem+json',
    'hapax-error': slug,
    'x-should-retry': String(retryable),
    'stripe-should-retry': String(retryable),
  })
  expect(reply.headers['idempotency-status']).toBe(word ?? undefined)
  expect(reply.headers['x-correlation-id']).toBe(document.correlationId)
  const saysWhen = SAY_WHEN.has(slug) || retry === 'wait'
  const seconds = saysWhen ? expect.stringMatching(/^[1-9]\d*$/) : undefined
  expect(reply.headers['retry-after']).toEqual(seconds)
  expect(reply.headers['idempotent-replayed']).toBeUndefined()
}
