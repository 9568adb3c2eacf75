import { isDigest } from '../core/content-coding.ts'
import { isJson } from '../core/fingerprint/media-type.ts'
import { toHeaders } from '../core/headers.ts'
import { answerEvents, type JsonRpcCall, toAnswerOf } from '../core/json-rpc.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { IDENTITY, toAcceptedCoding } from './client-coding.ts'
import { isOfAnother, isProblem, type Verdict } from './verdict.ts'

/**
 * Makes the answer to another JSON-RPC call of the same operation the answer to this one. What is
 * encoded in a way that is not known here stays as it is.
 */
export async function toCallersAnswer(call: JsonRpcCall, verdict: Verdict): Promise<Verdict> {
  const { status, reply: stored } = verdict
  if (!isOfAnother(status) || isProblem(stored) || stored.body === null) return verdict
  const essence = essenceOf(toHeaders(stored.headers).get('content-type') ?? '')
  const isEvents = essence === 'text/event-stream'
  if (!isEvents && !isJson({ essence, parameters: [] })) return verdict
  const reply = toAcceptedCoding(stored, IDENTITY)
  if (toHeaders(reply.headers).has('content-encoding')) return verdict
  if (isEvents) return withBody(verdict, reply, toEvents(call, reply))
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
  const headers = reply.headers.filter(([name]) => !isDigest(name))
  return { ...verdict, reply: { ...reply, headers, body, bodyBytes: null } }
}
