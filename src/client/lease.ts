import { ClaimLostError, claimLost } from '../core/hapax-error.ts'

/** A lease that is renewed until it is given back. */
export interface Lease {
  /** Aborted when the claim may be another owner's. */
  readonly signal: AbortSignal
  readonly stop: () => void
}

/**
 * Renews a lease after every third of its time. It is lost if the gateway says so, or if it has ended
 * before a renewal succeeded.
 *
 * @param from Epoch milliseconds. It began then, or later.
 * @param renew Rejects with a `ClaimLostError` if the claim does not stand any more, and with another
 *   error if that is not known.
 */
export function keepLease(leaseMs: number, from: number, renew: () => Promise<unknown>): Lease {
  const lost = new AbortController()
  let until = from + leaseMs
  const look = async () => {
    const askedAt = Date.now()
    try {
      if (askedAt >= until) throw claimLost()
      await renew()
      until = askedAt + leaseMs
    } catch (error) {
      if (error instanceof ClaimLostError) lost.abort(claimLost())
    }
  }
  const thirdMs = leaseMs / 3
  const timer = setInterval(() => void look(), thirdMs)
  // The answer to the claim came late.
  if (Date.now() - from > thirdMs) void look()
  return { signal: lost.signal, stop: () => clearInterval(timer) }
}
