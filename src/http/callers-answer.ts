import type { Context } from 'hono'

import { isDigest } from '../core/content-coding.ts'
import { essenceOf, isJson } from '../core/fingerprint/media-type.ts'
import { toHeaders } from '../core/headers.ts'
import { answerEvents, type JsonRpcCall, type Retelling, toAnswerOf } from '../core/json-rpc.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { IDENTITY, toAcceptedCoding } from './client-coding.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { callError } from './problem-response.ts'
import { askedOfAnother, isOfAnother, isProblem, type Verdict } from './verdict.ts'

/**
 * Makes the answer to another JSON-RPC call of the same operation the answer to this one, and marks
 * it: agents see no headers. What is encoded in a way that is not known here stays as it is.
 */
export async function toCallersAnswer(
  c: Context<GatewayEnv>,
  call: JsonRpcCall,
  verdict: Verdict,
): Promise<Verdict> {
  const { status, reply: stored } = verdict
  if (!isOfAnother(status) || isProblem(stored) || stored.body === null) return verdict
  // Whatever its parameters are: clients do not read them.
  const essence = essenceOf(toHeaders(stored.headers))
  const isEvents = essence === 'text/event-stream'
  if (!isEvents && !isJson({ essence })) return verdict
  const reply = toAcceptedCoding(stored, IDENTITY)
  if (toHeaders(reply.headers).has('content-encoding')) return verdict
  const retelling = retellingOf(c, call, verdict)
  if (isEvents) return withBody(verdict, reply, toEvents(call, reply, retelling))
  const answer = toAnswerOf(call, await new Response(reply.body).text(), retelling)
  return withBody(verdict, reply, new TextEncoder().encode(answer))
}

function retellingOf(
  c: Context<GatewayEnv>,
  call: JsonRpcCall,
  { status, ageMs }: Verdict,
): Retelling {
  if (status === 'joined') {
    const mark = { name: '"hapax/joined"', value: '{}' }
    return { mark, insteadOfStep: callError(c, askedOfAnother(), call.id) }
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
