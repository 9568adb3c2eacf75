import type { Context } from 'hono'

import type { Answer } from '../core/operation/answer.ts'
import type { HeaderField, WireResponse } from '../core/operation/snapshot.ts'
import { toProbeHeaders } from '../core/request/origin-request.ts'
import { callOrigin } from '../origin/call.ts'
import { requireOrigin } from '../origin/find-origin.ts'
import type { GatewayEnv } from './gateway-env.ts'

const BOUNDS = { timeoutMs: 10_000, limitBytes: 1_048_576 }

/**
 * Asks the origin, with the caller's credentials, whether the caller may receive the result of another
 * request. A status other than 2xx is returned instead of the result.
 *
 * @param headers The caller's headers for the origin.
 * @param route Path in the current policy, and the name of its origin. Without a path, those in the
 *   record count.
 */
export async function reauthorize(
  c: Context<GatewayEnv>,
  answer: Answer,
  headers: readonly HeaderField[],
  route: { readonly path: string | null; readonly origin: string | undefined },
): Promise<Answer> {
  if (answer.kind !== 'replayed' && answer.kind !== 'joined') return answer
  const { fence } = answer
  const { path, origin } =
    route.path === null ? { path: answer.reauthorizePath, origin: answer.origin } : route
  if (path === null) return answer
  const request = { method: 'GET', path, headers: toProbeHeaders(headers), body: null }
  const reply = await callOrigin(requireOrigin(c.env, origin), request, BOUNDS)
  if (reply.kind === 'answer' && reply.status >= 200 && reply.status <= 299) return answer
  await drop(answer.response)
  if (reply.kind === 'fault') return { kind: 'unasked', fence }
  const { status, headers: refusal, body } = reply
  return { kind: 'refused', response: { status, headers: refusal, body }, fence }
}

async function drop({ body }: WireResponse): Promise<void> {
  if (body instanceof ReadableStream) await body.cancel()
}
