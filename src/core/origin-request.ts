import type { HeaderField } from './snapshot.ts'

/** A request to the origin, as data: nothing of it hangs on the client's connection. */
export interface OriginRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: readonly HeaderField[]
  readonly body: Uint8Array<ArrayBuffer> | null
}

const LENGTH_BYTES = 4

/** Writes a request as bytes: the length of its head, the head as JSON, the body. */
export function encodeOriginRequest({ body, ...head }: OriginRequest): Uint8Array<ArrayBuffer> {
  const headBytes = new TextEncoder().encode(JSON.stringify({ ...head, hasBody: body !== null }))
  const bytes = new Uint8Array(LENGTH_BYTES + headBytes.byteLength + (body?.byteLength ?? 0))
  new DataView(bytes.buffer).setUint32(0, headBytes.byteLength)
  bytes.set(headBytes, LENGTH_BYTES)
  if (body !== null) bytes.set(body, LENGTH_BYTES + headBytes.byteLength)
  return bytes
}

/** Reads what `encodeOriginRequest` has written. */
export function decodeOriginRequest(bytes: Uint8Array<ArrayBuffer>): OriginRequest {
  const headEnd = LENGTH_BYTES + new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
  const headText = new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, headEnd))
  const { hasBody, ...head } = JSON.parse(headText) as Omit<OriginRequest, 'body'> & {
    readonly hasBody: boolean
  }
  return { ...head, body: hasBody ? bytes.slice(headEnd) : null }
}

/** The headers under which the origin's status resource is asked: those that say who asks. */
export function toProbeHeaders(headers: readonly HeaderField[]): HeaderField[] {
  return headers.filter(([name]) => !name.startsWith('content-') && name !== 'idempotency-key')
}
