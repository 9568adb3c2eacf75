import type { BreakerPolicy } from './retry.ts'

/** A circuit to one origin: closed lets calls through, open none, half-open a single one to try. */
export type Circuit =
  | { readonly state: 'closed'; readonly failures: number }
  | {
      readonly state: 'open' | 'half-open'
      readonly until: number
      /** When it opened for the first time after a call that did not fail. */
      readonly since: number
    }

export const CLOSED: Circuit = { state: 'closed', failures: 0 }

/** Whether a call may pass, and the circuit from then on. */
export type Passage =
  | { readonly isOpen: false; readonly circuit: Circuit }
  | { readonly isOpen: true; readonly retryAfterMs: number }

/**
 * Asks for passage. After the cooldown one call passes to try the origin; should it never report
 * back, another one does after one more cooldown.
 *
 * A call that may not pass is to stay away for a cooldown, and for as long as the circuit has been open
 * already. So the calls of a long outage come back over a long time. If all of them came when the
 * cooldown is over, an origin that is back would fail again (`docs/retries.md`).
 */
export function requestPassage(circuit: Circuit, policy: BreakerPolicy, now: number): Passage {
  if (circuit.state === 'closed') return { isOpen: false, circuit }
  const { since, until } = circuit
  if (now < until) return { isOpen: true, retryAfterMs: Math.max(policy.cooldownMs, now - since) }
  return { isOpen: false, circuit: { state: 'half-open', until: now + policy.cooldownMs, since } }
}

/** The circuit after a call that passed has ended. */
export function reportCall(
  circuit: Circuit,
  policy: BreakerPolicy,
  { hasFailed, now }: { readonly hasFailed: boolean; readonly now: number },
): Circuit {
  if (!hasFailed) return CLOSED
  const until = now + policy.cooldownMs
  if (circuit.state !== 'closed') return { state: 'open', until, since: circuit.since }
  const failures = circuit.failures + 1
  return failures < policy.failures
    ? { state: 'closed', failures }
    : { state: 'open', until, since: now }
}
