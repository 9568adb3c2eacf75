import type { Differences } from './differences.ts'

/** What the client may do about a problem. */
export type RetryWord = 'same-key' | 'new-key' | 'wait' | 'never'

/** The same as a sentence, for people and agents. */
export const WHAT_TO_DO: Readonly<Record<RetryWord, string>> = {
  'same-key': 'Send the same request again with the same key.',
  'new-key': 'Do not send it again with this key. A new operation needs a new key.',
  wait: 'Wait, then send the same request again with the same key.',
  never: 'Do not send the same request again before the cause is mended.',
}

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
      'The Host names no host, the URL cannot be read, or its path may lead out of what is served here. Nothing was forwarded, executed or remembered.',
  },
  'key-missing': {
    status: 400,
    title: 'Idempotency-Key is missing',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'This operation has a side effect and is only accepted with an idempotency key. Make one key for each business operation, before the first try, and send the same key with every retry of it.',
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
    title: 'The caller could not be told',
    retry: 'never',
    errorType: 'authentication_error',
    about:
      'Keys are unique per caller, so a request whose caller is not known is not accepted. Send your credentials. A 503 says that they could not be verified for now: send the same request with the same key.',
  },
  'payload-too-large': {
    status: 413,
    title: 'The request body is too large',
    retry: 'never',
    errorType: 'invalid_request_error',
    about: 'The body is over the limit of this route. Nothing was executed or remembered.',
  },
  'payload-invalid': {
    status: 400,
    title: 'The request body does not parse',
    retry: 'never',
    errorType: 'invalid_request_error',
    about:
      'The body is not what its Content-Type or Content-Encoding says, so it cannot be compared with a retry. Nothing was executed or remembered.',
  },
  'key-reused': {
    status: 409,
    title: 'Idempotency-Key was used for another request',
    retry: 'new-key',
    errorType: 'idempotency_error',
    about:
      'This key already names another request of yours: another method, path, query, media type or body. A retry must be the same request; a new operation needs a new key.',
  },
  'in-progress': {
    status: 409,
    title: 'The same request is still running',
    retry: 'wait',
    errorType: 'idempotency_error',
    about:
      'The first request with this key has not ended yet. Wait as long as Retry-After says and send the same request with the same key: you will get its result.',
  },
  'outcome-unknown': {
    status: 409,
    title: 'It is not known whether the operation was executed',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The request went out and its answer was lost or said nothing certain, so executing it again could execute it twice. The operation is held until its outcome is known.',
  },
  'operation-not-found': {
    status: 404,
    title: 'There is no such operation',
    retry: 'never',
    errorType: 'invalid_request_error',
    about:
      'No operation of yours has this id: it is not remembered any more, it was not executed and its key is free, or it is not yours.',
  },
  'key-expired': {
    status: 410,
    title: 'The result of this key is no longer kept',
    retry: 'new-key',
    errorType: 'idempotency_error',
    about:
      'The result of this operation was kept for as long as this route promises, and that time is over. A retry that comes later is refused, because it would execute the operation again.',
  },
  'origin-unreachable': {
    status: 502,
    title: 'The origin could not be reached',
    retry: 'same-key',
    errorType: 'api_error',
    about: 'Nothing was sent to the origin, so nothing was executed. The key is free again.',
  },
  'origin-timeout': {
    status: 504,
    title: 'The origin did not answer in time',
    retry: 'never',
    errorType: 'api_error',
    about:
      'The request was sent and no answer came in time; it may have been executed. What happens to a retry is decided by the policy of the route.',
  },
  'gateway-misconfigured': {
    status: 500,
    title: 'The gateway cannot do this',
    retry: 'never',
    errorType: 'api_error',
    about:
      'This route, or the deployment that it runs in, is not configured right, or its own code failed before anything was recorded. Nothing was forwarded. The operator finds the reason in the log, under the correlation id.',
  },
  'circuit-open': {
    status: 503,
    title: 'The origin is not called for a while',
    retry: 'same-key',
    errorType: 'api_error',
    about:
      'The origin has failed several times in a row, so it is left alone for a while. Nothing was sent or remembered. Send the same request with the same key when Retry-After is over.',
  },
  'rate-limited': {
    status: 429,
    title: 'Too many new operations',
    retry: 'same-key',
    errorType: 'rate_limit_error',
    about:
      'This caller has begun too many new operations in a short time. Nothing was sent or remembered; repeats of operations that are known are not counted.',
  },
  'store-unavailable': {
    status: 503,
    title: 'The store of operations does not answer',
    retry: 'same-key',
    errorType: 'api_error',
    about:
      'The operation could not be recorded, or its guard was lost while it ran. Nothing is forwarded without a record, so it is safe to send the same request with the same key again: it is executed, or told what became of it.',
  },
  'result-not-kept': {
    status: 409,
    title: 'The operation was executed, its response cannot be given again',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The operation was executed once. The API asked not to keep its response, or the response is stored sealed: then it opens only for a request that brings the Idempotency-Key, under a secret that this deployment still has. Read the result from the API itself.',
  },
  'snapshot-too-large': {
    status: 409,
    title: 'The operation was executed, its response was not kept',
    retry: 'never',
    errorType: 'idempotency_error',
    about:
      'The operation was executed once. Its response went to the first client only: it was over the limit of this route. Read the result from the API itself.',
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
