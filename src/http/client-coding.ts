import type { WireResponse } from '../core/operation/snapshot.ts'
import { decideUndoing, toDecodedHeaders } from '../core/wire/content-coding.ts'
import { decodeBody } from '../platform/decode-body.ts'

/** The Accept-Encoding of a client that accepts no coding. */
export const IDENTITY = 'identity'

const PARTIAL_CONTENT = 206

/**
 * The Accept-Encoding that the client sent, or `null`. The platform overwrites the header, and keeps
 * the client's value in `cf`: empty if there was none.
 */
export function acceptedEncodings(request: Request): string | null {
  const own = request.cf?.['clientAcceptEncoding']
  return typeof own === 'string' ? own || null : request.headers.get('Accept-Encoding')
}

/**
 * Decodes a stored response as far as the client does not accept its codings. A coding that cannot be
 * decoded stays, because a problem instead would hide that the operation was executed.
 *
 * @param accepted The result of `acceptedEncodings`.
 */
export function toAcceptedCoding(response: WireResponse, accepted: string | null): WireResponse {
  const { status, headers: fields, body } = response
  const encoding = fields.flatMap(([name, value]) => (name === 'content-encoding' ? [value] : []))
  const undoing = decideUndoing(encoding.join(), accepted)
  // A part of encoded bytes cannot be decoded.
  if (undoing === null || status === PARTIAL_CONTENT) return response
  const headers = toDecodedHeaders(fields, undoing.left)
  if (body === null || (body instanceof Uint8Array && body.byteLength === 0)) {
    return { ...response, headers }
  }
  const encoded = body instanceof ReadableStream ? body : new Blob([body]).stream()
  return { status, headers, body: decodeBody(encoded, undoing.codings), bodyBytes: null }
}
