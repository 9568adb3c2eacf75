import { isAnswerStatus } from '../core/outcome/outcome.ts'
import { toClientHeaders, toHeaders } from '../core/wire/headers.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import { conclude, mark } from './conclude.ts'
import type { Exchange } from './exchange.ts'
import { requestUrlOf } from './normalized-url.ts'
import { forwardedHeadersOf } from './origin-headers.ts'
import { isBodyless } from './payload.ts'
import { UNPROTECTED, unprotectedLost } from './verdict.ts'

/**
 * Forwards a request without protection, and answers with the headers of a protected route.
 *
 * @param body The body, if it was read already.
 */
export async function forwardUnprotected(
  exchange: Exchange,
  body: Uint8Array<ArrayBuffer> | null,
): Promise<Response> {
  const { c, policy, known } = exchange
  const origin = requireOrigin(c.env, policy.origin)
  // If the store failed, an origin that deduplicates by the key is still protected.
  const key = policy.forwardKey === 'derived' ? known.operationId : null
  const watch = new AbortController()
  const timer = setTimeout(() => watch.abort(), policy.timeout)
  try {
    const path = origin.pathOf(requestUrlOf(c).untouched)
    const request = copyOf(c.req.raw, origin.urlOf(path), body)
    const fromOrigin = await origin.fetch(request, {
      headers: toHeaders(forwardedHeadersOf(exchange, { key })),
      redirect: 'manual',
      encodeResponseBody: 'manual',
      signal: watch.signal,
    })
    const { status, body: answer } = fromOrigin
    if (!isAnswerStatus(status)) {
      answer?.cancel().catch(() => {})
      return conclude(exchange, unprotectedLost(status))
    }
    const headers = toHeaders(toClientHeaders(fromOrigin.headers))
    const response = new Response(answer, { status, headers, encodeBody: 'manual' })
    return mark(exchange, response, UNPROTECTED)
  } catch {
    return conclude(exchange, unprotectedLost(watch.signal.aborted ? 'timeout' : 'lost'))
  } finally {
    clearTimeout(timer)
  }
}

/** Copies a request to a URL. A GET or HEAD request cannot be created with a body, only passed on. */
function copyOf(incoming: Request, url: string, body: Uint8Array<ArrayBuffer> | null): Request {
  const { method, body: stream } = incoming
  if (isBodyless(method))
    return incoming.bodyUsed ? new Request(url, { method }) : new Request(url, incoming)
  return new Request(url, { method, body: stream === null ? null : (body ?? stream) })
}
