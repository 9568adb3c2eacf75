import {
  type ClaimRef,
  doubtOf,
  type InProgressRecord,
  type OperationRecord,
  toBase,
} from './record.ts'
import { isOpen } from './settle.ts'

/**
 * What a Worker's message about its claim does to the record. Messages arrive in any order, late or
 * twice, so each counts by what it means and not by when it comes:
 *
 * - A renewal counts for a claim that a Worker drives, under its own name; it never shortens the lease.
 * - A stream gives the claim to the object under a new name. Whatever is still under way about the
 *   old name (renewals, a settle, a verdict of the status resource) finds nothing of its own any more.
 * - A settle ends the claim that it names; asked again, it changes nothing (`decideSettle`).
 */

/**
 * Lengthens a Worker's lease.
 *
 * @returns `null` when no Worker drives this very claim any more.
 */
export function decideRenewal(
  record: OperationRecord | null,
  claim: ClaimRef,
  leaseUntil: number,
): InProgressRecord | null {
  if (!isOpen(record, claim) || record.state !== 'in_progress') return null
  if (record.owner.kind !== 'worker') return null
  const until = Math.max(leaseUntil, record.owner.leaseUntil)
  return { ...record, owner: { kind: 'worker', leaseUntil: until } }
}

/**
 * Hands a Worker's claim to the object, which records an answer that is still coming. A late one is
 * taken as a late settle is: for as long as nobody has taken over.
 *
 * @param claimId The new name of the claim.
 * @returns `null` when the claim has ended, a newer one exists, or the object drives it already.
 */
export function decideAdoption(
  record: OperationRecord | null,
  claim: ClaimRef,
  claimId: string,
): InProgressRecord | null {
  if (!isOpen(record, claim)) return null
  if (record.state === 'in_progress' && record.owner.kind === 'object') return null
  const attempts = record.attempts.map((attempt) =>
    // It was given up and has come back: it is under way.
    attempt.fence === claim.fence ? { ...attempt, outcome: null, endedAt: null } : attempt,
  )
  const doubt = doubtOf(record)
  const own = { attempts, claimId, ...(doubt && { doubt }) }
  return { ...toBase(record), ...own, state: 'in_progress', owner: { kind: 'object' } }
}
