import { collectBody, continueBody } from '../core/body.ts'
import { toClientHeaders, toHeaders } from '../core/headers.ts'
import type { Reply } from '../core/landing.ts'
import { readOriginDirectives } from '../core/origin-directives.ts'
import type { OriginRequest } from '../core/origin-request.ts'
import type { OriginFault } from '../core/outcome.ts'
import type { CallBounds } from '../core/recovery.ts'
import { hasNoBody } from '../core/snapshot.ts'
import type { OriginTarget } from './target.ts'

/**
 * Error messages that prove that nothing was sent: the name is not known, or the other side is not
 * who it should be. Anything else may have been lost later, a refused connection included.
 */
const NOT_SENT = /dns lookup failed|certificate|tls handshake/i

/**
 * Calls the origin once. Redirects are not followed, and the body stays encoded as it came, so
 * that a snapshot holds the very bytes.
 */
export async function callOrigin(
  target: OriginTarget,
  request: OriginRequest,
  bounds: CallBounds,
): Promise<Reply> {
  const watch = new SilenceWatch(bounds.timeoutMs)
  let originStatus: number | null = null
  try {
    const response = await target.fetch(target.urlOf(request.path), {
      method: request.method,
      headers: toHeaders(request.headers),
      body: request.body,
      redirect: 'manual',
      encodeResponseBody: 'manual',
      signal: watch.signal,
    })
    watch.restart()
    originStatus = response.status
    const stream = hasNoBody(response.status) ? null : response.body
    const collected = await collectBody(stream, bounds.limitBytes, watch)
    const body = collected.kind === 'whole' ? collected.bytes : continueBody(collected, watch)
    const headers = toClientHeaders(response.headers)
    const directives = readOriginDirectives(response.headers)
    return { kind: 'answer', status: response.status, headers, directives, body }
  } catch (error) {
    return { kind: 'fault', fault: toFault(error, watch, originStatus), originStatus }
  } finally {
    watch.stop()
  }
}

function toFault(error: unknown, watch: SilenceWatch, originStatus: number | null): OriginFault {
  if (watch.signal.aborted) return 'timeout'
  if (originStatus !== null) return 'lost'
  return error instanceof Error && NOT_SENT.test(error.message) ? 'not-sent' : 'lost'
}

/** Aborts a call that has been silent for too long. */
class SilenceWatch {
  readonly #timeoutMs: number
  readonly #controller = new AbortController()
  #timer: ReturnType<typeof setTimeout> | null = null

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
    this.restart()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  restart(): void {
    this.stop()
    this.#timer = setTimeout(() => this.#controller.abort(), this.#timeoutMs)
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
  }
}
