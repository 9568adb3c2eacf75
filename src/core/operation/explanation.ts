import { toBase64 } from '../base64.ts'
import { createDigest, type Digest } from '../digest.ts'
import { digestPlaces, isLarge, type PlaceDigests } from '../fingerprint/differences.ts'
import type { ComparedRequest } from '../fingerprint/fingerprint.ts'
import { deriveSealKey, seal } from '../seal.ts'

/**
 * What explains a later mismatch of an operation, as plain data for RPC. Only a claim that begins the
 * operation needs the digests, so they are made there.
 */
export type Explanation = { readonly clientKey: string } & (
  | { readonly kind: 'request'; readonly request: ComparedRequest }
  /** Of a large body, which is not sent for this. */
  | { readonly kind: 'digests'; readonly digests: PlaceDigests }
)

/** @param clientKey The client's own key, which is not stored. */
export function toExplanation(
  request: ComparedRequest,
  digest: Digest,
  clientKey: string,
): Explanation {
  return isLarge(request.body)
    ? { kind: 'digests', clientKey, digests: digestPlaces(request, digest, clientKey) }
    : { kind: 'request', clientKey, request }
}

/**
 * Encrypts the digests and short values of the parts of a request, for the record. They can be opened
 * only with the client's key, which is not stored. So a reader of the storage learns no names, and can
 * try no values without guessing that key.
 *
 * @param secret The secret of the deployment's digests.
 */
export function sealPlaces(
  secret: string | undefined,
  operationId: string,
  explanation: Explanation,
): string {
  const { clientKey } = explanation
  const digests =
    explanation.kind === 'digests'
      ? explanation.digests
      : digestPlaces(explanation.request, createDigest(secret), clientKey)
  const bytes = new TextEncoder().encode(JSON.stringify([...digests]))
  return toBase64(seal(placesKeyOf(secret, operationId, clientKey), operationId, bytes))
}

/** The key that opens what `sealPlaces` has sealed. */
export function placesKeyOf(
  secret: string | undefined,
  operationId: string,
  clientKey: string,
): Uint8Array<ArrayBuffer> {
  return deriveSealKey(`hapax ${secret ?? ''}`, 'places', operationId, clientKey)
}
