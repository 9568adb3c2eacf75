import type { Context } from 'hono'

import type { Answer } from '../core/answer.ts'
import { toProbeHeaders } from '../core/origin-request.ts'
import type { HeaderField, WireResponse } from '../core/snapshot.ts'
import { callOrigin } from '../origin/call.ts'
import { requireOrigin } from '../origin/target.ts'
import type { GatewayEnv } from './gateway-env.ts'

const BOUNDS = { timeoutMs: 10_000, limitBytes: 1_048_576 }

/**
 * Asks the origin, with the caller's credentials, whether it may have a result that another
 * request has made. Only 2xx lets it pass; a refusal is passed on instead of the result.
 *
 * @param headers What the origin gets of the caller's headers.
 * @param routePath Path that the route has it asked at by now, or `null`: then the record's own counts.
 */
export async function reauthorize(
  c: Context<GatewayEnv>,
  answer: Answer,
  headers: readonly HeaderField[],
  routePath: string | null,
): Promise<Answer> {
  if (answer.kind !== 'replayed' && answer.kind !== 'joined') return answer
  const { fence } = answer
  const path = routePath ?? answer.reauthorizePath
  if (path === null) return answer
  const request = { method: 'GET', path, headers: toProbeHeaders(headers), body: null }
  const reply = await callOrigin(requireOrigin(c.env), request, BOUNDS)
  if (reply.kind === 'answer' && reply.status >= 200 && reply.status <= 299) return answer
  await drop(answer.response)
  if (reply.kind === 'fault') return { kind: 'unasked', fence }
  const { status, headers: refusal, body } = reply
  return { kind: 'refused', response: { status, headers: refusal, body }, fence }
}

async function drop({ body }: WireResponse): Promise<void> {
  if (body instanceof ReadableStream) await body.cancel()
}
