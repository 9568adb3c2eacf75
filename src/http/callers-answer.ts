import type { Context } from 'hono'

import type { WireResponse } from '../core/operation/snapshot.ts'
import { holdsResponse, parseJson } from '../core/outcome/rpc-outcome.ts'
import {
  answerEvents,
  type JsonRpcCall,
  type Retelling,
  toAnswerOf,
} from '../core/request/json-rpc.ts'
import { askedOfAnother, unanswered } from '../core/response/problem-details.ts'
import { isDigest } from '../core/wire/content-coding.ts'
import { toHeaders } from '../core/wire/headers.ts'
import { essenceOf, isEventStream, isJson } from '../core/wire/media-type.ts'
import { IDENTITY, toAcceptedCoding } from './client-coding.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { callError } from './problem-response.ts'
import { isOfAnother, isProblem, soonMs, type Verdict } from './verdict.ts'

/**
 * Rewrites the answer to another JSON-RPC call of the same operation for this call, and marks it in
 * the body, because agents see no headers. An unknown encoding is not changed. If the joined answer
 * contained no response, the outcome is unknown, and the caller is told so.
 */
export async function toCallersAnswer(
  c: Context<GatewayEnv>,
  call: JsonRpcCall,
  verdict: Verdict,
): Promise<Verdict> {
  const { status, reply } = verdict
  if (!isOfAnother(status) || isProblem(reply)) return verdict
  const retold = await retell(c, call, verdict, reply)
  return retold ?? toUnanswered(verdict)
}

/** @returns `null` if it contains no response and the outcome is unknown. */
async function retell(
  c: Context<GatewayEnv>,
  call: JsonRpcCall,
  verdict: Verdict,
  stored: WireResponse,
): Promise<Verdict | null> {
  const headers = toHeaders(stored.headers)
  const isEvents = isEventStream(headers)
  const isMessage = isEvents || isJson({ essence: essenceOf(headers) })
  if (stored.body === null || !isMessage) return isOpen(verdict) ? null : verdict
  const reply = toAcceptedCoding(stored, IDENTITY)
  if (toHeaders(reply.headers).has('content-encoding')) return verdict
  const retelling = retellingOf(c, call, verdict)
  if (isEvents) return withBody(verdict, reply, toEvents(call, reply, retelling))
  const answer = toAnswerOf(call, await new Response(reply.body).text(), retelling)
  if (isOpen(verdict) && !holdsResponse(parseJson(answer))) return null
  return withBody(verdict, reply, new TextEncoder().encode(answer))
}

/** Whether it joined a call that left the outcome unknown. */
const isOpen = ({ status, outcome }: Verdict) => status === 'joined' && outcome === 'unknown'

function toUnanswered(verdict: Verdict): Verdict {
  const { reply } = verdict
  if (!isProblem(reply) && reply.body instanceof ReadableStream) reply.body.cancel().catch(() => {})
  return { ...verdict, status: 'unknown', reply: unanswered(soonMs()) }
}

function retellingOf(
  c: Context<GatewayEnv>,
  call: JsonRpcCall,
  { status, ageMs }: Verdict,
): Retelling {
  if (status === 'joined') {
    const mark = { name: '"hapax/joined"', value: '{}' }
    return {
      mark,
      insteadOfStep: callError(c, askedOfAnother(soonMs()), call.id),
      insteadOfSilence: callError(c, unanswered(soonMs()), call.id),
    }
  }
  const value = `{"ageSeconds":${Math.floor(ageMs / 1_000)}}`
  return { mark: { name: '"hapax/replayed"', value }, insteadOfStep: null }
}

function toEvents(call: JsonRpcCall, { body }: WireResponse, retelling: Retelling) {
  const stream = body instanceof ReadableStream ? body : new Response(body).body
  return stream?.pipeThrough(answerEvents(call, retelling)) ?? null
}

function withBody(verdict: Verdict, reply: WireResponse, body: WireResponse['body']): Verdict {
  const headers = reply.headers.filter(([name]) => !isDigest(name))
  return { ...verdict, reply: { ...reply, headers, body, bodyBytes: null } }
}
