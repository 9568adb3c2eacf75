import type { ProblemSlug } from './problem.ts'

/** Whose conventions errors follow. */
export const PRESETS = ['default', 'ietf', 'stripe'] as const

export type Preset = (typeof PRESETS)[number]

/** Status of a key that was used for another request, where the route does not say. */
export function mismatchStatusOf(preset: Preset): 409 | 422 | 400 {
  // draft-ietf-httpapi-idempotency-key-header-07 §2.7: 422; Stripe: 400 `idempotency_error`.
  return ({ default: 409, ietf: 422, stripe: 400 } as const)[preset]
}

interface StripeError {
  readonly type: string
  readonly code?: string
}

const STRIPE_ERRORS: Partial<Record<ProblemSlug, StripeError>> = {
  'key-reused': { type: 'idempotency_error' },
  'key-expired': { type: 'idempotency_error' },
  'in-progress': { type: 'idempotency_error', code: 'idempotency_key_in_use' },
  'outcome-unknown': { type: 'idempotency_error' },
  'rate-limited': { type: 'invalid_request_error', code: 'rate_limit' },
}

/** The words in which Stripe tells a problem: `error.type` and, where it has one, `error.code`. */
export function toStripeError(slug: ProblemSlug, status: number): StripeError {
  return STRIPE_ERRORS[slug] ?? { type: status >= 500 ? 'api_error' : 'invalid_request_error' }
}
