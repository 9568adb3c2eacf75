import { isJson } from '../core/fingerprint/media-type.ts'
import { toHeaders } from '../core/headers.ts'
import { answerEvents, type JsonRpcCall, toAnswerOf } from '../core/json-rpc.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { isProblem, type Verdict } from './verdict.ts'

/**
 * Makes the answer to another JSON-RPC call of the same operation the answer to this one. What the
 * origin has encoded stays as it is: it cannot be read here.
 */
export async function toCallersAnswer(call: JsonRpcCall, verdict: Verdict): Promise<Verdict> {
  const { status, reply } = verdict
  const isOfAnother = status === 'replayed' || status === 'joined'
  if (!isOfAnother || isProblem(reply) || reply.body === null) return verdict
  const headers = toHeaders(reply.headers)
  if (headers.has('content-encoding')) return verdict
  const essence = essenceOf(headers.get('content-type') ?? '')
  if (essence === 'text/event-stream') return withBody(verdict, reply, toEvents(call, reply))
  if (!isJson({ essence, parameters: [] })) return verdict
  const answer = toAnswerOf(call, await new Response(reply.body).text())
  return withBody(verdict, reply, new TextEncoder().encode(answer))
}

/** Whatever its parameters are: clients do not read them. */
const essenceOf = (type: string) => (type.split(';', 1)[0] ?? '').trim().toLowerCase()

function toEvents(call: JsonRpcCall, { body }: WireResponse) {
  const stream = body instanceof ReadableStream ? body : new Response(body).body
  return stream?.pipeThrough(answerEvents(call)) ?? null
}

function withBody(verdict: Verdict, reply: WireResponse, body: WireResponse['body']): Verdict {
  return { ...verdict, reply: { ...reply, body, bodyBytes: null } }
}
