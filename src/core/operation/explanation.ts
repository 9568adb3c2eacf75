import { toBase64 } from '../base64.ts'
import { isLarge, markPlaces, type PlaceMarks } from '../fingerprint/differences.ts'
import type { ComparedRequest } from '../fingerprint/fingerprint.ts'
import { deriveSealKey, seal } from '../seal.ts'

/**
 * What explains a later mismatch of an operation, as plain data for RPC. Only a claim that begins the
 * operation needs the marks, so they are made there.
 */
export type Explanation = { readonly clientKey: string } & (
  | { readonly kind: 'request'; readonly request: ComparedRequest }
  /** Marks of a large body, which is not sent for this. An earlier version sends and takes digests here. */
  | { readonly kind: 'digests'; readonly digests: PlaceMarks }
)

/** @param clientKey The client's own key, which is not stored. */
export function toExplanation(request: ComparedRequest, clientKey: string): Explanation {
  return isLarge(request.body)
    ? { kind: 'digests', clientKey, digests: markPlaces(request) }
    : { kind: 'request', clientKey, request }
}

/**
 * Encrypts the marks of the parts of a request, for the record. They can be opened only with the
 * client's key, which is not stored. So a reader of the storage learns no names, and can try no values
 * without guessing that key.
 *
 * @param secret The secret of the deployment's digests.
 */
export function sealPlaces(
  secret: string | undefined,
  operationId: string,
  explanation: Explanation,
): string {
  const { clientKey } = explanation
  const marks =
    explanation.kind === 'digests' ? explanation.digests : markPlaces(explanation.request)
  const bytes = new TextEncoder().encode(JSON.stringify([...marks]))
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
