import { concat, LENGTH_BYTES, lengthOf } from '../bytes.ts'
import type { HeaderField } from '../operation/snapshot.ts'
import type { SealKey } from '../seal.ts'
import { foldName, OVERRIDES_METHOD, OVERRIDES_PATH } from '../wire/headers.ts'

/** A request to the origin as data, independent of the client's connection. */
export interface OriginRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: readonly HeaderField[]
  readonly body: Uint8Array<ArrayBuffer> | null
}

/** A request as it is stored for a recovery without a client. */
export interface StoredRequest {
  readonly request: OriginRequest
  /** Seals the result as for the client's own request, if the route says so. */
  readonly sealKey: SealKey | null
}

interface StoredForm extends Omit<OriginRequest, 'body'> {
  readonly hasBody: boolean
  readonly sealKey: { readonly id: string; readonly bytes: readonly number[] } | null
}

/** Writes a request as bytes: the length of its head, the head as JSON, the body. */
export function encodeStoredRequest({ request, sealKey }: StoredRequest): Uint8Array<ArrayBuffer> {
  const { body, ...head } = request
  const form: StoredForm = {
    ...head,
    hasBody: body !== null,
    sealKey: sealKey && { id: sealKey.id, bytes: [...sealKey.bytes] },
  }
  const headBytes = new TextEncoder().encode(JSON.stringify(form))
  return concat([lengthOf(headBytes), headBytes, ...(body === null ? [] : [body])])
}

/** Reads a request that `encodeStoredRequest` has written. */
export function decodeStoredRequest(bytes: Uint8Array<ArrayBuffer>): StoredRequest {
  const headEnd = LENGTH_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const headText = new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, headEnd))
  const { hasBody, sealKey, ...head } = JSON.parse(headText) as StoredForm
  return {
    request: { ...head, body: hasBody ? bytes.slice(headEnd) : null },
    sealKey: sealKey && { id: sealKey.id, bytes: new Uint8Array(sealKey.bytes) },
  }
}

/**
 * The headers for a question about an operation: those that identify the caller, but none about the
 * request's body, conditions on the answer, or another method or path.
 */
export function toProbeHeaders(headers: readonly HeaderField[]): HeaderField[] {
  return headers.filter(([name]) => !isLeftOut(foldName(name)))
}

const isLeftOut = (name: string) =>
  NOT_ASKED_WITH.test(name) || OVERRIDES_METHOD.has(name) || OVERRIDES_PATH.has(name)

const NOT_ASKED_WITH = /^(?:content-.*|if-.*|range|idempotency-key|prefer)$/
