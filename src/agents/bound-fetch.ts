import { toError } from '../core/hapax-error.ts'
import { readRetryAfter } from '../core/retry/retry-after.ts'
import { type CallEnd, LOST, readCallEnd } from './call-end.ts'

/** What `bindFetch` needs to know. */
interface Binding {
  readonly key: string
  readonly signal: AbortSignal
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** A `fetch` that belongs to one call of a tool. */
interface BoundFetch {
  readonly fetch: typeof fetch
  /** What the last answer to a request with a side effect said, or `null` if there was none. */
  readonly lastEnd: () => CallEnd | null
}

const HEADER = 'Idempotency-Key'

/** Methods without a side effect (RFC 9110 §9.2.1). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Gives the requests of one call its key and signal, and remembers how the last one ended. */
export function bindFetch(send: typeof fetch, { key, signal, now }: Binding): BoundFetch {
  let lastEnd: CallEnd | null = null
  const boundFetch: typeof fetch = async (input, init) => {
    const request = new Request(input, input instanceof Request ? init : { signal, ...init })
    if (SAFE.has(request.method)) return send(request)
    if (!request.headers.has(HEADER)) request.headers.set(HEADER, key)
    lastEnd = LOST
    const response = await send(request)
    lastEnd = readCallEnd(response, now())
    const code = response.headers.get('Hapax-Error')
    if (code === null) return response
    const document: unknown = await response.json().catch(() => null)
    throw toError(code, document, readRetryAfter([...response.headers], now()))
  }
  return { fetch: boundFetch, lastEnd: () => lastEnd }
}

/**
 * Makes a `fetch` whose answers are complete, so that one that breaks off is no answer: nobody knows
 * then whether it is true what its headers say. Events come as they are sent.
 */
export function fetchWhole(
  fetchOnce: (request: Request) => Promise<Response>,
): (request: Request) => Promise<Response> {
  return async function fetchAll(request) {
    const response = await fetchOnce(request)
    const type = response.headers.get('Content-Type') ?? ''
    if (response.body === null || type.startsWith('text/event-stream')) return response
    return new Response(await response.arrayBuffer(), response)
  }
}
