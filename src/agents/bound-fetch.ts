import { SAFE } from '../client/keyed-request.ts'
import { readRefusal } from '../client/read-problem.ts'
import { type CallEnd, LOST, readCallEnd, toCallEnd } from './call-end.ts'

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
  /** Whether a request before that one was executed, or may have been. */
  readonly isPartial: () => boolean
}

const HEADER = 'Idempotency-Key'

/** What a request has ended like that was executed, or may have been. */
const HAD_EFFECT: ReadonlySet<CallEnd['kind']> = new Set([
  'executed',
  'repeated',
  'running',
  'unknown',
  'unprotected',
  'unreported',
])

/** Gives the requests of one call its key and signal, and remembers how the last one ended. */
export function bindFetch(send: typeof fetch, { key, signal, now }: Binding): BoundFetch {
  let lastEnd: CallEnd | null = null
  let isPartial = false
  const boundFetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    const given = init?.signal ?? (input instanceof Request ? input.signal : null)
    // Beside the request, because in Node.js its own signal is deaf when nobody has the request any more.
    const until = { signal: given ? AbortSignal.any([given, signal]) : signal }
    if (SAFE.has(request.method)) return send(request, until)
    if (!request.headers.has(HEADER)) request.headers.set(HEADER, key)
    isPartial ||= lastEnd !== null && HAD_EFFECT.has(lastEnd.kind)
    lastEnd = LOST
    const response = await send(request, until)
    if (!response.headers.has('Hapax-Error')) {
      lastEnd = readCallEnd(response, now())
      return response
    }
    const problem = await readRefusal(response, now())
    lastEnd = toCallEnd(problem, null)
    throw problem
  }
  return { fetch: boundFetch, lastEnd: () => lastEnd, isPartial: () => isPartial }
}
