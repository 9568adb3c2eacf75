import { err } from '../result.ts'

/**
 * Why a request has no fingerprint.
 *
 * `reason` is a sentence for the client: what is wrong and what to do. It never quotes the payload.
 */
export type FingerprintFault =
  | { readonly kind: 'payload-invalid'; readonly reason: string }
  | { readonly kind: 'payload-too-large'; readonly limitBytes: number }

/** Refuses a payload that cannot be compared; `reason` must not quote it. */
export const payloadInvalid = (reason: string) =>
  err<FingerprintFault>({ kind: 'payload-invalid', reason })
