import type { Differences } from '../fingerprint/differences.ts'
import type { RetryWord } from './retry-word.ts'

interface ProblemKind {
  readonly status: number
  readonly title: string
  readonly retry: RetryWord
  /** `error.type` of the answer, in the words that Stripe's SDKs know. */
  readonly errorType: string
  /** Paragraph of the page that the problem's `type` resolves to. */
  readonly about: string
}

/** Every problem that is answered with. A slug is public API: add freely, never rename. */
export const PROBLEMS = {
  'request-invalid': {
    status: 400,
    title: 'The URL or the Host of the request is not valid',
    retry: 'never',
    errorType: 'invalid_request_error',
    about:
      'The Host header is not a host name, the URL cannot be parsed, or its path may leave the base path of this API. Nothing was forwarded, executed or stored.',
  },
  'key-missing': {
    status: 400,
    title: 'Idempotency-Key is missing',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'This operation has a side effect and requires an idempotency key. Create one key for each business operation, before the first attempt, and send the same key with every retry.',
  },
  'key-invalid': {
    status: 400,
    title: 'Idempotency-Key is not valid',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'A key is 1 to 255 characters of visible ASCII, sent once, either bare or as an RFC 9651 String in double quotes. A random UUID is a good key.',
  },
  'tenant-missing': {
    status: 401,
    title: 'The caller could not be identified',
    retry: 'never',
    errorType: 'authentication_error',
    about:
      'Keys are unique per caller, so a request from an unknown caller is rejected. Send your credentials. A status of 503 means that the credentials cannot be verified at the moment: send the same request with the same key.',
  },
  'payload-too-large': {
    status: 413,
    title: 'The request body is too large',
    retry: 'never',
    errorType: 'invalid_request_error',
    about: 'The body is larger than this route accepts. Nothing was executed or stored.',
  },
  'payload-invalid': {
    status: 400,
    title: 'The request body does not parse',
    retry: 'never',
    errorType: 'invalid_request_error',
    about:
      'The body does not match its Content-Type or Content-Encoding, so it cannot be compared with a retry. Nothing was executed or stored.',
  },
  'key-reused': {
    status: 409,
    title: 'Idempotency-Key was used for another request',
    retry: 'new-key',
    errorType: 'idempotency_error',
    about:
      'You have already used this key for another request: one with another method, path, query, media type or body. A retry must be the same request; a new operation needs a new key.',
  },
  'in-progress': {
    status: 409,
    title: 'The same request is still running',
    retry: 'wait',
    errorType: 'idempotency_error',
    about:
      'The first request with this key has not finished. Wait for the time in Retry-After, then send the same request with the same key to get its result.',
  },
  'outcome-unknown': {
    status: 409,
    title: 'It is not known whether the operation was executed',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The request was sent, but its response was lost or did not say what happened. Executing it again could execute it twice, so the operation is held until its outcome is known.',
  },
  'operation-not-found': {
    status: 404,
    title: 'There is no such operation',
    retry: 'never',
    errorType: 'invalid_request_error',
    about:
      'You have no operation with this id. It has expired, it was not executed and its key is free again, or it belongs to another caller.',
  },
  'key-expired': {
    status: 410,
    title: 'The result for this key has expired',
    retry: 'new-key',
    errorType: 'idempotency_error',
    about:
      'The result of this operation was stored for the retention time of this route, which has passed. A later retry is rejected, because it would execute the operation again.',
  },
  'claim-invalid': {
    status: 400,
    title: 'The request about a claim is not valid',
    retry: 'never',
    errorType: 'invalid_request_error',
    about:
      'A process elsewhere claims an operation, renews its lease or ends it with a JSON document. A field of this document is missing, unknown or has a value that cannot be used. The detail names every such field. Nothing was claimed or changed.',
  },
  'claim-lost': {
    status: 409,
    title: 'The claim does not count any more',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The lease of this claim has ended, and another process has taken over, an operator has decided, or the claim has ended in another way already. Stop the work, if it still runs: its result is not stored. Claim the operation again to get its result.',
  },
  'origin-unreachable': {
    status: 502,
    title: 'The origin could not be reached',
    retry: 'same-key',
    errorType: 'api_error',
    about:
      'Nothing was executed: nothing was sent to the origin, the origin said so, or the request is one that changes nothing. The key is free again.',
  },
  'origin-timeout': {
    status: 504,
    title: 'The origin did not answer in time',
    retry: 'never',
    errorType: 'api_error',
    about:
      'The request was sent, but no response arrived in time. It may have been executed. The policy of the route decides what happens to a retry.',
  },
  'gateway-misconfigured': {
    status: 500,
    title: 'The gateway is not configured correctly',
    retry: 'never',
    errorType: 'api_error',
    about:
      'This route or its deployment is not configured correctly, or its own code failed before anything was recorded. Nothing was forwarded. The operator can find the reason in the log by the correlation id.',
  },
  'circuit-open': {
    status: 503,
    title: 'Calls to the origin are paused',
    retry: 'same-key',
    errorType: 'api_error',
    about:
      'The origin has failed several times in a row, so calls to it are paused. Nothing was sent or stored. Send the same request with the same key after the time in Retry-After.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many new operations',
    retry: 'same-key',
    errorType: 'rate_limit_error',
    about:
      'This caller has started too many new operations in a short time. Nothing was sent or stored. Retries of known operations are not counted.',
  },
  'store-unavailable': {
    status: 503,
    title: 'The operation store is not available',
    retry: 'same-key',
    errorType: 'api_error',
    about:
      'The operation could not be recorded, or its object was lost while it ran. Nothing is forwarded without a record, so it is safe to send the same request with the same key again: it is executed, or you get its result.',
  },
  'result-not-kept': {
    status: 409,
    title: 'The operation was executed, but its response cannot be returned again',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The operation was executed once. The API asked not to keep its response, or the response is encrypted: it can be read only with the Idempotency-Key of the operation, while the deployment still has the secret. Read the result from the API itself.',
  },
  'snapshot-too-large': {
    status: 409,
    title: 'The operation was executed, but its response was not stored',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The operation was executed once. Its response was larger than this route stores, so only the first client received it. Read the result from the API itself.',
  },
} as const satisfies Record<string, ProblemKind>

export type ProblemSlug = keyof typeof PROBLEMS

/** One occurrence of a problem, as facts; the wire forms are made of it in one place. */
export interface Problem {
  readonly slug: ProblemSlug
  readonly status: number
  readonly title: string
  /** What happened to this request and what to do, for people. Holds no key, body or secret. */
  readonly detail: string
  readonly retry: RetryWord
  /** Whether the same request, sent again, can end otherwise. */
  readonly retryable: boolean
  /** Milliseconds to wait before that. */
  readonly retryAfterMs: number | null
  /** In what the request differs from the one whose key it bears. */
  readonly differences: Differences | null
}

/** Where an occurrence differs from its kind. */
interface ProblemOverrides {
  readonly status?: number
  readonly retry?: RetryWord
  readonly retryAfterMs?: number
  readonly differences?: Differences | null
}

/** Makes an occurrence of a problem. */
export function problem(slug: ProblemSlug, detail: string, over: ProblemOverrides = {}): Problem {
  const kind = PROBLEMS[slug]
  const retry = over.retry ?? kind.retry
  return {
    slug,
    status: over.status ?? kind.status,
    title: kind.title,
    detail,
    retry,
    retryable: retry === 'same-key' || retry === 'wait',
    retryAfterMs: over.retryAfterMs ?? null,
    differences: over.differences ?? null,
  }
}

/** Whether a text names a problem. */
export function isProblemSlug(text: string): text is ProblemSlug {
  return Object.hasOwn(PROBLEMS, text)
}
