/** A header field. A list of them, not a map: a name may occur more than once. */
export type HeaderField = readonly [name: string, value: string]

/** A response as it crosses the border between object and Worker. */
export interface WireResponse {
  readonly status: number
  readonly headers: readonly HeaderField[]
  /** Encoded as `Content-Encoding` says. A stream where it is large. */
  readonly body: Uint8Array | ReadableStream<Uint8Array> | null
  /** Length of a body that is a stream, where it is known. */
  readonly bodyBytes?: number | null
  /** Set on the answer of a late owner: it is not recorded, and counts for its own client only. */
  readonly isLate?: true
}

/** The stored response without its body: what a record holds of it. */
export interface SnapshotHead {
  readonly status: number
  /** Only those that are replayed. */
  readonly headers: readonly HeaderField[]
  readonly bodyBytes: number
  /** `omitted`: over the limit of the route, or as the origin asked; of the body nothing was kept. */
  readonly body: 'none' | 'kept' | 'omitted'
  /** Why it is omitted: the origin asked for that. Absent where it was over the limit. */
  readonly omittedFor?: 'no-store'
  /** `Origin` of the request that made it: CORS headers are replayed to the same one only. */
  readonly corsOrigin: string | null
}

/** A stored response that only the request that made it can open. */
export interface SealedHead extends Pick<SnapshotHead, 'bodyBytes' | 'body' | 'omittedFor'> {
  /** Names the secret that it is sealed under. */
  readonly keyId: string
  /** The whole head, sealed, as base64. */
  readonly box: string
}

/** What a record holds of a stored response. */
export type StoredHead = SnapshotHead | SealedHead

/** Whether a stored response is sealed. */
export function isSealed(head: StoredHead): head is SealedHead {
  return 'box' in head
}

/** Statuses whose responses have no body (RFC 9110 §6.4.1). */
export function hasNoBody(status: number): boolean {
  return status === 101 || status === 204 || status === 205 || status === 304
}
