import { quantile } from './queue.ts'
import { createRandom, exponential, logNormal, type Random } from './random.ts'

/** An origin, and what goes wrong between Worker and shard. Times in milliseconds. */
export interface Circumstances {
  readonly operations: number
  readonly originMedianMs: number
  readonly originSigma: number
  /** The route's `timeout`. */
  readonly timeoutMs: number
  /** How often a shard cannot be reached for a while, and how long on average. */
  readonly stallEveryMs: number
  readonly stallMeanMs: number
}

/** What a lease does. */
export interface Leasing {
  readonly renewalsPer1000: number
  /** Workers that were alive when their lease ended. */
  readonly falseOrphansPerMillion: number
  /** From the loss of a Worker to the end of its lease, when a retry of the client finds it out. */
  readonly medianKnownMs: number
  readonly p99KnownMs: number
}

/** Between Worker and shard, in milliseconds. */
const TRAVEL_MS = 20

/** Simulates calls under a lease that is renewed after every third of its time. */
export function simulateLease(leaseMs: number, circumstances: Circumstances): Leasing {
  const random = createRandom(leaseMs)
  const { operations } = circumstances
  const known = new Float64Array(operations)
  let renewals = 0
  let falseOrphans = 0
  for (let nth = 0; nth < operations; nth += 1) {
    const callMs = callMsOf(circumstances, random)
    const sent = Math.floor(callMs / (leaseMs / 3))
    renewals += sent
    if (sent > 0 && isOutlived(leaseMs, callMs, circumstances, random)) falseOrphans += 1
    const lostAt = random() * callMs
    // The last renewal counts from when it was sent, the claim from the beginning.
    known[nth] = leaseMs - (lostAt % (leaseMs / 3))
  }
  const sorted = known.toSorted()
  return {
    renewalsPer1000: (renewals / operations) * 1_000,
    falseOrphansPerMillion: (falseOrphans / operations) * 1e6,
    medianKnownMs: quantile(sorted, 0.5),
    p99KnownMs: quantile(sorted, 0.99),
  }
}

function callMsOf({ originMedianMs, originSigma, timeoutMs }: Circumstances, random: Random) {
  return Math.min(timeoutMs, logNormal(random, originMedianMs, originSigma))
}

/** Whether so many renewals in a row are lost in a stall that the lease ends before the call. */
function isOutlived(
  leaseMs: number,
  callMs: number,
  { stallEveryMs, stallMeanMs }: Circumstances,
  random: Random,
): boolean {
  let until = leaseMs
  let stallFrom = exponential(random, stallEveryMs)
  let stallTo = stallFrom + exponential(random, stallMeanMs)
  for (let at = leaseMs / 3; at < callMs; at += leaseMs / 3) {
    // One that is sent just before the end arrives after it.
    if (at > until - TRAVEL_MS) return true
    while (stallTo < at) {
      stallFrom = stallTo + exponential(random, stallEveryMs)
      stallTo = stallFrom + exponential(random, stallMeanMs)
    }
    if (at < stallFrom) until = at + leaseMs
  }
  return callMs > until
}
