import type { Context, Next } from 'hono'
import { HTTPException } from 'hono/http-exception'

import { errorName } from '../core/error-name.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import { type AnswerFacts, classifyAnswer } from '../core/outcome/classify.ts'
import { readOriginDirectives } from '../core/outcome/origin-directives.ts'
import { isAnswerStatus } from '../core/outcome/outcome.ts'
import type { AnswerHead, EndedReply, ReplyOf } from '../core/outcome/reply.ts'
import { BY_VALUE_BYTES, collectBody, continueBody } from '../core/wire/body.ts'
import { toClientHeaders } from '../core/wire/headers.ts'
import { isEventStream } from '../core/wire/media-type.ts'
import { logFault } from '../metrics/log.ts'
import { dropAnswer } from '../origin/call.ts'
import { isFromProxy } from '../origin/from-proxy.ts'
import { isJudgedByBody, judgeHead, judgeReply, type Judging } from '../origin/judge.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** How the response of a handler is judged. */
export interface HandlerJudging extends Judging {
  /** Whether an earlier run may have been executed. */
  readonly isInDoubt: boolean
}

/** The result of the handlers of a request. */
export type HandlerReply =
  | EndedReply
  | {
      readonly kind: 'streams'
      readonly head: AnswerHead
      readonly body: ReadableStream<Uint8Array>
    }
  | { readonly kind: 'threw'; readonly response: WireResponse }

/**
 * Runs the handlers of a request. If one throws an `Error`, Hono's `next` sets `c.error` and does not
 * reject. It rejects only if another value was thrown.
 */
export async function callHandler(
  c: Context<GatewayEnv>,
  next: Next,
  judging: HandlerJudging,
): Promise<HandlerReply> {
  try {
    await next()
    return await readHandlerReply(c, judging)
  } catch (error) {
    // Its message may contain what must not be logged.
    logFault('a handler threw, or its body broke off', new Error(errorName(error)))
    return { kind: 'threw', response: { status: 500, headers: [], body: null } }
  }
}

async function readHandlerReply(
  c: Context<GatewayEnv>,
  judging: HandlerJudging,
): Promise<HandlerReply> {
  const hasThrown = c.error !== undefined && !(c.error instanceof HTTPException)
  const head = toHead(c.res)
  if (!isAnswerStatus(head.status)) return dropAnswer(c.res, head)
  const live = hasThrown ? null : openLive(c.res, head, judging)
  if (live !== null) return live
  const reply = await collectReply(c.res, head, judging)
  if (hasThrown) return { kind: 'threw', response: toResponse(reply) }
  const stream = isExecuted(reply, judging) ? toStream(reply.body, judging.limitBytes) : null
  const { said = null } = reply
  return stream === null ? reply : { kind: 'streams', head: { ...head, said }, body: stream }
}

/** @returns `null` if the response is not streamed to the client, because its body may decide the outcome. */
function openLive(
  { headers, body }: Response,
  head: AnswerHead,
  judging: HandlerJudging,
): Extract<HandlerReply, { kind: 'streams' }> | null {
  if (body === null || !isStream(headers) || isJudgedByBody(head, judging.rules)) return null
  const judged = judgeHead(head, judging.rules)
  if (!isExecuted(judged, judging)) return null
  // Only byte streams cross RPC.
  return { kind: 'streams', head: judged, body: body.pipeThrough(new IdentityTransformStream()) }
}

async function collectReply(
  { body: sent }: Response,
  head: AnswerHead,
  judging: HandlerJudging,
): Promise<ReplyOf<'answer'>> {
  const { rules, limitBytes } = judging
  const bytes = isJudgedByBody(head, rules) ? limitBytes : Math.min(limitBytes, BY_VALUE_BYTES)
  const collected = await collectBody(sent, bytes)
  const made = { isFromProxy: await isFromProxy(head, collected) }
  const body = collected.kind === 'whole' ? collected.bytes : continueBody(collected)
  return judgeReply({ kind: 'answer', ...head, ...made, body }, judging)
}

/** The response of a handler, as the first client gets it. */
export const toResponse = ({ status, headers, body }: ReplyOf<'answer'>): WireResponse => ({
  status,
  headers,
  body,
})

/** @returns `null` if the body is small enough to be passed by value. */
function toStream(
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  limitBytes: number,
): ReadableStream<Uint8Array> | null {
  if (body instanceof ReadableStream) return body
  const isLarge = body.byteLength > Math.min(limitBytes, BY_VALUE_BYTES)
  return isLarge ? new Response(body).body : null
}

function isExecuted(head: AnswerFacts, { rules, isInDoubt }: HandlerJudging): boolean {
  const outcome = classifyAnswer(head, rules.outcomes, isInDoubt)
  return outcome === 'succeeded' || outcome === 'failed'
}

function toHead({ status, headers: fromHandler }: Response): AnswerHead {
  // The platform has decoded the body, so it is sent without this coding.
  const headers = toClientHeaders(fromHandler).filter(
    ([name, value]) => name !== 'content-encoding' || !UNDONE.has(value),
  )
  return { status, headers, directives: readOriginDirectives(fromHandler) }
}

/** Codings that the platform decodes when it reads a body, in the only spelling that it knows. */
const UNDONE: ReadonlySet<string> = new Set(['gzip', 'br'])

/** Whether the headers declare a stream, as those of Hono's streaming helpers do. */
function isStream(headers: Headers): boolean {
  return isEventStream(headers) || headers.has('transfer-encoding')
}
