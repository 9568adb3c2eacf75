import type { Settings } from './fetch-options.ts'
import { findKey, type FoundKey } from './find-key.ts'

const KEY = 'Idempotency-Key'

/** Methods that change nothing (RFC 9110 §9.2.1), QUERY among them, so that they need no key. */
export const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'])

/** A request whose body was read and whose key was found, once for all tries. */
export type KeyedRequest = Awaited<ReturnType<typeof readKeyed>>

/**
 * Reads the body of a request and finds its key.
 *
 * @param deadlineAt Epoch milliseconds after which no try begins.
 */
export async function readKeyed(request: Request, deadlineAt: number, settings: Settings) {
  const { method } = request
  const body = method === 'GET' || method === 'HEAD' ? {} : { body: await request.arrayBuffer() }
  const headers = new Headers(request.headers)
  let found: FoundKey | undefined
  if (!headers.has(KEY) && !SAFE.has(method)) {
    found = await findKey(() => new Request(request, body), settings)
    headers.set(KEY, found.field)
  }
  const isKeyed = headers.has(KEY)
  if (isKeyed) headers.set('X-Request-Deadline', String(deadlineAt))
  return {
    headers,
    found,
    toTry: (attempt: number, signal: AbortSignal) => {
      if (isKeyed) headers.set('Idempotency-Attempt', String(attempt))
      return new Request(request, { ...body, headers, signal })
    },
  }
}
