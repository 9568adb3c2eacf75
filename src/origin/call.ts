import type { CallBounds } from '../core/operation/recovery.ts'
import { hasNoBody } from '../core/operation/snapshot.ts'
import { readOriginDirectives } from '../core/outcome/origin-directives.ts'
import { isAnswerStatus, type OriginFault } from '../core/outcome/outcome.ts'
import type { AnswerHead, EndedReply, LiveBody, Reply, ReplyOf } from '../core/outcome/reply.ts'
import type { OriginRequest } from '../core/request/origin-request.ts'
import { ALONE_MS, collectBody, continueBody } from '../core/wire/body.ts'
import { toClientHeaders, toHeaders } from '../core/wire/headers.ts'
import { isFromProxy } from './from-proxy.ts'
import type { OriginTarget } from './target.ts'

/** Decides from the head of an answer whether its body is read as it comes, or collected first. */
export type IsLive = (head: AnswerHead, declaredBytes: number | null) => boolean

/**
 * Calls the origin once. Redirects are not followed, and the body stays encoded as it came, so
 * that a snapshot holds the very bytes.
 *
 * Nothing that `fetch` throws proves that nothing was sent: a refused connection looks like a lost
 * one, and a Worker behind a service binding throws errors of its own, with texts of its own.
 */
export async function callOrigin(
  target: OriginTarget,
  request: OriginRequest,
  bounds: CallBounds,
): Promise<EndedReply>
export async function callOrigin(
  target: OriginTarget,
  request: OriginRequest,
  bounds: CallBounds,
  isLive: IsLive,
): Promise<Reply>
export async function callOrigin(
  target: OriginTarget,
  request: OriginRequest,
  bounds: CallBounds,
  isLive: IsLive = () => false,
): Promise<Reply> {
  const watch = new SilenceWatch(bounds.timeoutMs)
  const outgoing = toOutgoing(target, request, watch.signal)
  if (outgoing === null) {
    watch.stop()
    return { kind: 'fault', fault: 'not-sent', originStatus: null }
  }
  let heard: Pick<ReplyOf<'fault'>, 'originStatus' | 'directive'> = { originStatus: null }
  try {
    // The option belongs to `fetch`: a Request does not carry it.
    const response = await target.fetch(outgoing, { encodeResponseBody: 'manual' })
    watch.restart()
    const head = toHead(response, request.method)
    heard = { originStatus: head.status, directive: head.directives.outcome }
    if (!isAnswerStatus(response.status)) {
      watch.stop()
      return dropAnswer(response, head)
    }
    const stream = hasNoBody(response.status) ? null : response.body
    const declaredBytes = declaredBytesOf(response.headers)
    if (stream !== null && isLive(head, declaredBytes)) {
      const body = new WatchedBody(stream.getReader(), watch)
      return { kind: 'live', ...head, body, declaredBytes }
    }
    // Nobody receives anything of it meanwhile, and a stream may have no end.
    const takeBack = watch.breakIn(ALONE_MS)
    const collected = await collectBody(stream, bounds.limitBytes, watch).finally(takeBack)
    watch.stop()
    const body = collected.kind === 'whole' ? collected.bytes : continueBody(collected, watch)
    return { kind: 'answer', ...head, body, isFromProxy: await isFromProxy(head, collected) }
  } catch {
    watch.stop()
    return { kind: 'fault', fault: watch.signal.aborted ? 'timeout' : 'lost', ...heard }
  }
}

/** @returns `null` when there can be no such request. Only that proves that nothing was sent. */
function toOutgoing(
  target: OriginTarget,
  { path, method, headers, body }: OriginRequest,
  signal: AbortSignal,
): Request | null {
  try {
    return new Request(target.urlOf(path), {
      method,
      headers: toHeaders(headers),
      body,
      redirect: 'manual',
      signal,
    })
  } catch {
    return null
  }
}

/** An answer with a status that cannot be passed on becomes a fault, which keeps the status. */
export function dropAnswer(
  response: Response,
  { status, directives }: AnswerHead,
): ReplyOf<'fault'> {
  response.body?.cancel().catch(() => {})
  return {
    kind: 'fault',
    fault: 'bad-status',
    originStatus: status,
    directive: directives.outcome,
  }
}

function toHead({ status, headers: fromOrigin }: Response, method: string): AnswerHead {
  const headers = toClientHeaders(fromOrigin)
  const length = fromOrigin.get('content-length')
  // The answer to HEAD has no body whose length would say it (RFC 9110 §9.3.2).
  if (method === 'HEAD' && length !== null) headers.push(['content-length', length])
  return { status, headers, directives: readOriginDirectives(fromOrigin) }
}

function declaredBytesOf(headers: Headers): number | null {
  const declared = headers.get('content-length')
  return declared === null ? null : Number(declared)
}

/** A body of the origin that is read as it arrives. Only the time spent waiting for it counts as silence. */
class WatchedBody implements LiveBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #watch: SilenceWatch

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, watch: SilenceWatch) {
    this.#reader = reader
    this.#watch = watch
    watch.pause()
  }

  async next(): Promise<Uint8Array | null> {
    this.#watch.restart()
    try {
      const { value } = await this.#reader.read()
      if (value === undefined) this.#watch.stop()
      else this.#watch.pause()
      return value ?? null
    } catch (error) {
      this.#watch.stop()
      throw error
    }
  }

  faultOf(): OriginFault {
    return this.#watch.signal.aborted ? 'timeout' : 'lost'
  }

  cancel(): void {
    this.#watch.abort()
  }
}

/**
 * Aborts a call that has been silent for too long. One timer serves many chunks: setting one for
 * each would cost more than to read it.
 */
class SilenceWatch {
  readonly #timeoutMs: number
  readonly #controller = new AbortController()
  #timer: ReturnType<typeof setTimeout> | null = null
  /** Since when it is silent, in epoch milliseconds; `null` while nothing is waited for. */
  #since: number | null = null
  /** When the call ends in any case, in epoch milliseconds. */
  #breakAt = Infinity

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
    this.restart()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  restart(): void {
    this.#since = Date.now()
    if (this.#timer === null) this.#look(this.#timeoutMs)
  }

  /** Pauses the watch: the silence that follows is not the origin's. */
  pause(): void {
    this.#since = null
  }

  stop(): void {
    this.pause()
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #look(afterMs: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null
      const now = Date.now()
      const silentAt = this.#since === null ? Infinity : this.#since + this.#timeoutMs
      const leftMs = Math.min(this.#timeoutMs, silentAt - now, this.#breakAt - now)
      // The next restart looks again, unless it is to end in any case.
      if (this.#since === null && this.#breakAt === Infinity) return
      if (leftMs > 0) this.#look(leftMs)
      else this.#controller.abort()
    }, afterMs)
  }

  /** Ends the call at once. */
  abort(): void {
    this.stop()
    this.#controller.abort()
  }

  /** Ends the call after this time, even if it is not silent. @returns Cancels that. */
  breakIn(ms: number): () => void {
    this.#breakAt = Date.now() + ms
    // A running timer looks at least so often.
    if (this.#timer === null) this.#look(Math.min(ms, this.#timeoutMs))
    return () => {
      this.#breakAt = Infinity
    }
  }
}
