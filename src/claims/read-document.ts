import type { Context } from 'hono'

import { parseUtf8 } from '../core/bytes.ts'
import { findValue } from '../core/json/spans.ts'
import { payloadInvalid, payloadTooLarge } from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { collectBody } from '../core/wire/body.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { isTaken } from '../http/payload.ts'

/** The JSON document of a request. */
export interface ClaimDocument {
  /** All of it but the value that was cut out. */
  readonly rest: unknown
  /** JSON text of that value, as it was written, so that numbers keep all digits; `null` if it has none. */
  readonly value: string | null
}

/**
 * Reads the document of a request.
 *
 * @param member Name of the member whose value is cut out: it belongs to the caller alone, and may be
 *   large. `null`: nothing is cut out.
 */
export async function readClaimDocument(
  c: Context<GatewayEnv>,
  member: string | null,
  limitBytes: number,
): Promise<Result<ClaimDocument, Problem>> {
  const request = c.req.raw
  const declared = Number(request.headers.get('Content-Length') ?? 0)
  if (declared > limitBytes) return err(payloadTooLarge(limitBytes))
  // A middleware of the app may have read the body.
  const stream = isTaken(request) ? new Blob([await c.req.arrayBuffer()]).stream() : request.body
  const collected = await collectBody(stream, limitBytes)
  if (collected.kind === 'over') {
    await collected.rest.cancel()
    return err(payloadTooLarge(limitBytes))
  }
  return parseClaimDocument(parseUtf8(collected.bytes) ?? '', member)
}

/** Cuts a member out of a JSON text, and parses the rest. */
function parseClaimDocument(text: string, member: string | null): Result<ClaimDocument, Problem> {
  if (findValue(text, []) === null) return err(payloadInvalid(NOT_JSON))
  const span = member === null ? null : findValue(text, [member])
  if (span === null) return ok({ rest: JSON.parse(text), value: null })
  const { start, end } = span
  const rest: unknown = JSON.parse(`${text.slice(0, start)}null${text.slice(end)}`)
  return ok({ rest, value: text.slice(start, end) })
}

const NOT_JSON = 'The body must be a JSON document in UTF-8, nested at most 1000 levels deep.'
