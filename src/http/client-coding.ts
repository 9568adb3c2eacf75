import { decideUndoing, toDecodedHeaders } from '../core/content-coding.ts'
import type { WireResponse } from '../core/snapshot.ts'
import { decodeBody } from '../platform/decode-body.ts'

/** The Accept-Encoding of a client that reads nothing that is encoded. */
export const IDENTITY = 'identity'

const PARTIAL_CONTENT = 206

/**
 * The Accept-Encoding of the client itself, or `null` where it has none. The platform writes its own
 * into the header, and keeps the client's beside it: empty where there was none.
 */
export function acceptedEncodings(request: Request): string | null {
  const own = request.cf?.['clientAcceptEncoding']
  return typeof own === 'string' ? own || null : request.headers.get('Accept-Encoding')
}

/**
 * Undoes the codings of a stored answer that a client does not accept. One that cannot be undone
 * stays: a problem in its place would hide that the operation was executed.
 *
 * @param accepted As `acceptedEncodings` tells it.
 */
export function toAcceptedCoding(response: WireResponse, accepted: string | null): WireResponse {
  const { status, headers: fields, body } = response
  const encoding = fields.flatMap(([name, value]) => (name === 'content-encoding' ? [value] : []))
  const undoing = decideUndoing(encoding.join(), accepted)
  // A part of encoded bytes is not encoded itself.
  if (undoing === null || status === PARTIAL_CONTENT) return response
  const headers = toDecodedHeaders(fields, undoing.left)
  if (body === null || (body instanceof Uint8Array && body.byteLength === 0)) {
    return { ...response, headers }
  }
  const encoded = body instanceof ReadableStream ? body : new Blob([body]).stream()
  return { status, headers, body: decodeBody(encoded, undoing.codings), bodyBytes: null }
}
