import type { Context, Next } from 'hono'
import { HTTPException } from 'hono/http-exception'

import type { WireResponse } from '../core/operation/snapshot.ts'
import { type AnswerFacts, classifyAnswer } from '../core/outcome/classify.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import { readOriginDirectives } from '../core/outcome/origin-directives.ts'
import { isAnswerStatus, type Outcome } from '../core/outcome/outcome.ts'
import type { AnswerHead, EndedReply, ReplyOf } from '../core/outcome/reply.ts'
import { BY_VALUE_BYTES, collectBody, continueBody } from '../core/wire/body.ts'
import { toClientHeaders } from '../core/wire/headers.ts'
import { isEventStream } from '../core/wire/media-type.ts'
import { dropAnswer } from '../origin/call.ts'
import { isFromProxy } from '../origin/from-proxy.ts'
import { isJudgedByBody, judgeHead, judgeReply, type Judging } from '../origin/judge.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { isAnswer, reportError } from './report-error.ts'

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
  } catch (error) {
    reportError(c, error)
    return NOTHING_ANSWERED
  }
  if (c.error !== undefined) reportError(c, c.error)
  try {
    return await readHandlerReply(c, judging)
  } catch (error) {
    reportError(c, error, BROKE_OFF)
    return NOTHING_ANSWERED
  }
}

const BROKE_OFF = 'the body of a handler broke off'

const NOTHING_ANSWERED: HandlerReply = {
  kind: 'threw',
  response: { status: 500, headers: [], body: null },
}

async function readHandlerReply(
  c: Context<GatewayEnv>,
  judging: HandlerJudging,
): Promise<HandlerReply> {
  const hasThrown = c.error !== undefined && !isAnswer(c.error)
  const head = toHead(c.res)
  if (!isAnswerStatus(head.status)) return dropAnswer(c.res, head)
  const thrown = saidByThrowing(c.error, head, judging)
  const live = hasThrown || thrown !== null ? null : openLive(c, head, judging)
  if (live !== null) return live
  const reply = { ...(await collectReply(c.res, head, judging)), ...thrown }
  if (hasThrown) return { kind: 'threw', response: toResponse(reply) }
  const stream = isExecuted(reply, judging) ? toStream(c, reply.body, judging.limitBytes) : null
  if (stream === null) return reply
  const { directives, said = null } = reply
  return { kind: 'streams', head: { ...head, directives, said }, body: stream }
}

/**
 * What an answer that was thrown says of the outcome, if the response does not: an error handler of
 * the app may have made another response of it. `null` if the response says it.
 */
function saidByThrowing(
  error: unknown,
  { status, directives }: AnswerHead,
  judging: HandlerJudging,
): Pick<AnswerHead, 'said' | 'directives'> | null {
  const outcome = outcomeThrown(error, status, judging)
  if (outcome === null) return null
  return { said: { outcome, isExact: true }, directives: { ...directives, outcome: null } }
}

function outcomeThrown(error: unknown, status: number, judging: HandlerJudging): Outcome | null {
  if (error instanceof NotExecuted) return 'not_executed'
  if (!(error instanceof HTTPException) || error.status === status) return null
  const headers = error.res?.headers ?? new Headers()
  const head = toHead({ headers, status: error.status })
  const { outcomes } = judging.rules
  return classifyAnswer(judgeHead(head, judging.rules), outcomes, judging.isInDoubt)
}

/** @returns `null` if the response is not streamed to the client, because its body may decide the outcome. */
function openLive(
  c: Context<GatewayEnv>,
  head: AnswerHead,
  judging: HandlerJudging,
): Extract<HandlerReply, { kind: 'streams' }> | null {
  const { headers, body } = c.res
  if (body === null || !isStream(headers) || isJudgedByBody(head, judging.rules)) return null
  const judged = judgeHead(head, judging.rules)
  if (!isExecuted(judged, judging)) return null
  return { kind: 'streams', head: judged, body: watched(c, body) }
}

/** Passes a body on as a stream of bytes, because no other crosses RPC, and reports the error with which it breaks off. */
function watched(
  c: Context<GatewayEnv>,
  body: ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new IdentityTransformStream()
  body.pipeTo(writable).catch(async (error: unknown) => {
    // If only its reader has left, the body is cancelled, and not broken.
    const isBroken = await body.getReader().closed.then(
      () => false,
      () => true,
    )
    if (isBroken) reportError(c, error, BROKE_OFF)
  })
  return readable
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
  c: Context<GatewayEnv>,
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
  limitBytes: number,
): ReadableStream<Uint8Array> | null {
  if (body instanceof ReadableStream) return watched(c, body)
  const isLarge = body.byteLength > Math.min(limitBytes, BY_VALUE_BYTES)
  return isLarge ? new Response(body).body : null
}

function isExecuted(head: AnswerFacts, { rules, isInDoubt }: HandlerJudging): boolean {
  const outcome = classifyAnswer(head, rules.outcomes, isInDoubt)
  return outcome === 'succeeded' || outcome === 'failed'
}

function toHead({
  status,
  headers: fromHandler,
}: Pick<Response, 'status' | 'headers'>): AnswerHead {
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
