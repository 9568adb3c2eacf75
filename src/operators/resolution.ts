import * as z from 'zod/mini'

import { DEFAULT_RESPONSE_BYTES, wholeNumber } from '../config/policy.ts'
import type { OperatorAction } from '../core/operation/operator-action.ts'
import { type HeaderField, hasNoBody } from '../core/operation/snapshot.ts'
import { err, ok, type Result } from '../core/result.ts'
import { toClientHeaders, toSnapshotHeaders } from '../core/wire/headers.ts'

/** The largest request, and so the largest response that an operator can set: the default limit of a route. */
export const MAX_BODY_BYTES = DEFAULT_RESPONSE_BYTES

/** Limit of names and values together. They share a row with the record, and the platform sends at most 128 KB. */
const MAX_HEADER_BYTES = 32_768

const ResolutionSchema = z.union([
  z.strictObject({ outcome: z.literal('not_executed') }),
  z.strictObject({
    outcome: z.enum(['succeeded', 'failed']),
    response: z.strictObject({
      status: wholeNumber(200, 599),
      headers: z._default(z.record(z.string(), z.string()), {}),
      body: z._default(z.string(), ''),
    }),
  }),
])

const ADVICE =
  'Send { "outcome": "not_executed" }, or { "outcome": "succeeded" or "failed", "response": { "status": 201, "headers": {}, "body": "" } } as JSON. A status is 200 to 599.'

type Resolution = Extract<OperatorAction, { kind: 'resolve' }>

/**
 * Parses an operator's decision about an unknown outcome. Of the response's headers it keeps those
 * that would be kept of the origin's.
 *
 * @returns Or what is wrong, for people.
 */
export function parseResolution(body: unknown): Result<Resolution, string> {
  const said = ResolutionSchema.safeParse(body)
  if (!said.success) return err(ADVICE)
  if (said.data.outcome === 'not_executed') return ok({ kind: 'resolve', outcome: 'not_executed' })
  const { outcome, response } = said.data
  const { status } = response
  const headers = readHeaders(response.headers)
  if (!headers.ok) return headers
  const bytes = new Uint8Array(new TextEncoder().encode(response.body))
  if (bytes.byteLength > 0 && hasNoBody(status)) {
    return err(`A response with the status ${status} has no body.`)
  }
  return ok({ kind: 'resolve', outcome, status, headers: headers.value, body: bytes })
}

function readHeaders(named: Readonly<Record<string, string>>): Result<HeaderField[], string> {
  const headers = toFields(named)
  if (headers === null) return err('A header of the response is not one.')
  const fields = [...headers]
  if (fields.length < Object.keys(named).length)
    return err('A header of the response is there twice.')
  const bytes = fields.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  if (bytes > MAX_HEADER_BYTES) {
    return err(`The headers of a response have at most ${MAX_HEADER_BYTES} bytes.`)
  }
  // The body is plain text, even if the origin's had a coding.
  const omit = ['content-encoding']
  const kept = toSnapshotHeaders(toClientHeaders(headers), { setCookie: false, omit, seal: false })
  return ok(kept)
}

/** RFC 9110 §5.1 and §5.5. The platform takes a field without a name, and makes UTF-8 of any other letter. */
const NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const VALUE = /^[\t -~]*$/

function toFields(named: Readonly<Record<string, string>>): Headers | null {
  const fields = Object.entries(named)
  const areFields = fields.every(([name, value]) => NAME.test(name) && VALUE.test(value))
  return areFields ? new Headers(fields) : null
}
