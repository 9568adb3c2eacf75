import type { Digest } from '../core/digest.ts'
import type { ClaimRef } from '../core/operation/record.ts'

/**
 * A claim as its holder names it. The record has only a digest of it with its tenant: who reads the
 * storage, or has the token of another tenant, cannot end the claim.
 */
export interface HeldClaim {
  readonly fence: number
  readonly leaseMs: number
  /** How long the claim took, in milliseconds. Only counted, so it need not be true. */
  readonly claimMs: number
  /** Nobody can guess it. */
  readonly secret: string
}

/** Whose claim it is. */
interface Owner {
  readonly digest: Digest
  readonly operationId: string
  readonly tenant: string
}

/**
 * The secret of a claim. A repeat of the same request, whose answer was lost, gets the same one.
 *
 * @param nonce Random text of the request.
 */
export function secretOf({ digest, operationId, tenant }: Owner, nonce: string): string {
  return digest('secret of a claim', tenant, operationId, nonce)
}

/** The name of a claim in the record of its operation. */
export function claimIdOf(
  { digest, operationId, tenant }: Owner,
  { secret, leaseMs }: Pick<HeldClaim, 'secret' | 'leaseMs'>,
): string {
  return digest('claim from elsewhere', tenant, operationId, secret, String(leaseMs))
}

/** Names a claim for the object that guards its operation. */
export function toClaimRef(owner: Owner, held: HeldClaim): ClaimRef {
  const { operationId } = owner
  return { operationId, fence: held.fence, claimId: claimIdOf(owner, held) }
}

/** Writes a claim for its holder. */
export function writeClaim({ fence, leaseMs, claimMs, secret }: HeldClaim): string {
  return [fence, leaseMs, claimMs, secret].join('.')
}

const FORM = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})\.([\w-]{43})$/

/** Reads a claim. @returns `null` if no such claim was ever given out. */
export function readClaim(text: string): HeldClaim | null {
  const [, fence, leaseMs, claimMs, secret] = FORM.exec(text) ?? []
  if (secret === undefined) return null
  return { fence: Number(fence), leaseMs: Number(leaseMs), claimMs: Number(claimMs), secret }
}
