import { type RetryOptions, toRetryPolicy } from '../core/retry/retry-options.ts'
import { boundRetry, type RetryAsk, retryCalls } from '../core/retry/retry.ts'
import { toKeyField } from './key-field.ts'
import { orAborted } from './or-aborted.ts'
import { readRetryAsk } from './retry-ask.ts'
import { type Sleep, sleepOnTimer } from './sleep.ts'

/** The key of an operation, or a function that finds it in the request, whose body it may read. */
export type KeyOption = string | ((request: Request) => string | Promise<string>)

/** Options of `createIdempotentFetch`. */
export interface IdempotentFetchOptions {
  /** Key of a request that has no `Idempotency-Key` of its own. Default: a random UUID. */
  readonly key?: KeyOption
  readonly retry?: RetryOptions
  /** Makes one try. Default: the platform's `fetch`. */
  readonly fetch?: (request: Request) => Promise<Response>
  /** Epoch milliseconds. */
  readonly now?: () => number
  /** A number in [0, 1). */
  readonly random?: () => number
  readonly sleep?: Sleep
}

const HEADER = 'Idempotency-Key'

/** RFC 9110 §9.2.1. They have no effect that could happen twice, so they need no key. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Creates a function with the signature of `fetch` that sends a request again until it has an
 * answer, always with the same `Idempotency-Key`.
 *
 * Like `fetch`, it resolves with the last response, whatever its status, and rejects if the last try
 * got none. A body is read into memory before the first try, also a stream.
 *
 * @throws {TypeError} If an option is wrong.
 * @example const send = createIdempotentFetch({ retry: { attempts: 5, deadline: '2m' } })
 */
export function createIdempotentFetch(options: IdempotentFetchOptions = {}): typeof fetch {
  const settings = toSettings(options)
  return async function idempotentFetch(input, init) {
    const request = new Request(input, init)
    const signal = signalOf(input, init) ?? undefined
    signal?.throwIfAborted()
    return orAborted(send(request, signal, settings), signal)
  }
}

function toSettings({ key, retry, ...steps }: IdempotentFetchOptions) {
  return {
    key: key ?? (() => crypto.randomUUID()),
    policy: toRetryPolicy(retry),
    // Called as functions, because a browser's `fetch` refuses to be a method of another object.
    fetch: (request: Request) => (steps.fetch ?? fetch)(request),
    now: () => (steps.now ?? Date.now)(),
    random: () => (steps.random ?? Math.random)(),
    sleep: steps.sleep ?? sleepOnTimer,
  }
}

type Settings = ReturnType<typeof toSettings>

/** Which signal `fetch` obeys: `null` takes that of the request away. */
function signalOf(...[input, init]: Parameters<typeof fetch>): AbortSignal | null | undefined {
  if (init?.signal !== undefined) return init.signal
  return input instanceof Request ? input.signal : null
}

/** How one try ended: with an answer, or without. */
type TryEnd =
  | { readonly kind: 'answered'; readonly response: Response; readonly ask: RetryAsk }
  | { readonly kind: 'lost'; readonly error: unknown; readonly ask: RetryAsk }

async function send(
  request: Request,
  signal: AbortSignal | undefined,
  settings: Settings,
): Promise<Response> {
  const { policy, now, random, sleep } = settings
  const bounds = boundRetry(policy, { attempt: 1, deadlineAt: null }, now())
  const toTry = await prepareTries(request, settings.key, bounds.deadlineAt)
  const end = await retryCalls<TryEnd>(policy, bounds, {
    call(attempt) {
      signal?.throwIfAborted()
      return tryOnce(toTry(attempt), settings)
    },
    // Whatever the answer: until it is final, nobody here knows whether the operation was executed.
    outcomeOf: () => 'unknown',
    askOf: ({ ask }) => ask,
    async pause(delayMs, before) {
      if (before.kind === 'answered') discard(before.response)
      await sleep(delayMs, signal)
      return true
    },
    now,
    random,
  })
  if (end.kind === 'lost') throw end.error
  return end.response
}

/** Reads body and key once. @returns What makes the request of each try. */
async function prepareTries(
  request: Request,
  key: KeyOption,
  deadlineAt: number,
): Promise<(attempt: number) => Request> {
  if (SAFE.has(request.method)) return () => new Request(request)
  const body = await request.arrayBuffer()
  const headers = new Headers(request.headers)
  if (!headers.has(HEADER)) {
    const made = typeof key === 'string' ? key : await key(new Request(request, { body }))
    headers.set(HEADER, toKeyField(made))
  }
  headers.set('X-Request-Deadline', String(deadlineAt))
  return (attempt) => {
    headers.set('Idempotency-Attempt', String(attempt))
    return new Request(request, { headers, body })
  }
}

async function tryOnce(request: Request, settings: Settings): Promise<TryEnd> {
  try {
    const response = await settings.fetch(request)
    return { kind: 'answered', response, ask: await readRetryAsk(response, settings.now()) }
  } catch (error) {
    return { kind: 'lost', error, ask: {} }
  }
}

/** Frees the connection of an answer that nobody reads. */
function discard({ body }: Response): void {
  body?.cancel().catch(() => {})
}
