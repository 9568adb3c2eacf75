import type { BreakerPolicy } from './retry.ts'

/** A circuit to one origin: closed lets calls through, open none, half-open a single one to try. */
export type Circuit =
  | { readonly state: 'closed'; readonly failures: number }
  | { readonly state: 'open'; readonly until: number }
  | { readonly state: 'half-open'; readonly until: number }

export const CLOSED: Circuit = { state: 'closed', failures: 0 }

/** Whether a call may pass, and the circuit from then on. */
export type Passage =
  | { readonly isOpen: false; readonly circuit: Circuit }
  | { readonly isOpen: true; readonly retryAfterMs: number }

/**
 * Asks for passage. After the cooldown one call passes to try the origin; should it never report
 * back, another one does after one more cooldown.
 */
export function requestPassage(circuit: Circuit, policy: BreakerPolicy, now: number): Passage {
  if (circuit.state === 'closed') return { isOpen: false, circuit }
  if (now < circuit.until) return { isOpen: true, retryAfterMs: circuit.until - now }
  return { isOpen: false, circuit: { state: 'half-open', until: now + policy.cooldownMs } }
}

/** The circuit after a call that passed has ended. */
export function reportCall(
  circuit: Circuit,
  policy: BreakerPolicy,
  call: { readonly hasFailed: boolean; readonly now: number },
): Circuit {
  if (!call.hasFailed) return CLOSED
  const failures = circuit.state === 'closed' ? circuit.failures + 1 : policy.failures
  if (failures < policy.failures) return { state: 'closed', failures }
  return { state: 'open', until: call.now + policy.cooldownMs }
}
