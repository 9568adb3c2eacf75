import { collectBody, continueBody } from '../core/body.ts'
import { toClientHeaders } from '../core/headers.ts'
import type { Reply } from '../core/landing.ts'
import { type OriginFault, parseOutcomeDirective } from '../core/outcome.ts'
import { hasNoBody, type HeaderField } from '../core/snapshot.ts'
import type { OriginTarget } from './target.ts'

/** A request to the origin, as data: nothing of it hangs on the client's connection. */
export interface OriginRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: readonly HeaderField[]
  readonly body: Uint8Array | null
}

/** Bounds of one call. */
export interface CallBounds {
  /** Milliseconds until the headers, then for every silence between two chunks of the body. */
  readonly timeoutMs: number
  /** Bytes of body that are collected. */
  readonly limitBytes: number
}

/** Names in error messages that prove that nothing was sent. Anything else may have been lost later. */
const NOT_SENT = /dns|name not resolved|tls|ssl|certificate/i

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
  try {
    const response = await target.fetch(target.urlOf(request.path), {
      method: request.method,
      headers: request.headers.map(([name, value]): [string, string] => [name, value]),
      body: request.body,
      redirect: 'manual',
      encodeResponseBody: 'manual',
      signal: watch.signal,
    })
    watch.restart()
    const stream = hasNoBody(response.status) ? null : response.body
    const collected = await collectBody(stream, bounds.limitBytes, watch)
    const body = collected.kind === 'whole' ? collected.bytes : continueBody(collected, watch)
    const headers = toClientHeaders(response.headers)
    const directive = parseOutcomeDirective(response.headers.get('idempotency-outcome'))
    return { kind: 'answer', status: response.status, headers, directive, body }
  } catch (error) {
    return { kind: 'fault', fault: toFault(error, watch) }
  } finally {
    watch.stop()
  }
}

function toFault(error: unknown, watch: SilenceWatch): OriginFault {
  if (watch.signal.aborted) return 'timeout'
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
