import { foldName, OVERRIDES_METHOD, OVERRIDES_PATH } from './headers.ts'
import type { SealKey } from './seal.ts'
import type { HeaderField } from './snapshot.ts'

/** A request to the origin, as data: nothing of it hangs on the client's connection. */
export interface OriginRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: readonly HeaderField[]
  readonly body: Uint8Array<ArrayBuffer> | null
}

/** What is stored of a request for a recovery without a client. */
export interface StoredRequest {
  readonly request: OriginRequest
  /** Seals the result as the client's own request would have, where the route says so. */
  readonly sealKey: SealKey | null
}

const LENGTH_BYTES = 4

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
  const bytes = new Uint8Array(LENGTH_BYTES + headBytes.byteLength + (body?.byteLength ?? 0))
  new DataView(bytes.buffer).setUint32(0, headBytes.byteLength)
  bytes.set(headBytes, LENGTH_BYTES)
  if (body !== null) bytes.set(body, LENGTH_BYTES + headBytes.byteLength)
  return bytes
}

/** Reads what `encodeStoredRequest` has written. */
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
 * The headers under which the origin is asked about an operation: those that say who asks, and
 * none that describe the request's body, put conditions on an answer or make another request of it.
 */
export function toProbeHeaders(headers: readonly HeaderField[]): HeaderField[] {
  return headers.filter(([name]) => {
    const folded = foldName(name)
    return (
      !NOT_ASKED_WITH.test(folded) && !OVERRIDES_METHOD.has(folded) && !OVERRIDES_PATH.has(folded)
    )
  })
}

const NOT_ASKED_WITH = /^(?:content-.*|if-.*|range|idempotency-key|prefer)$/
