import { backoffMs } from '../retry/retry.ts'
import type { DeliveryRetry } from './event.ts'

/** The end of one delivery of an event. `reason` contains nothing from the event. */
export type DeliveryEnd =
  | { readonly kind: 'delivered' }
  /** It can be tried again after `afterMs` milliseconds. */
  | { readonly kind: 'failed'; readonly reason: string; readonly afterMs: number }
  /** Another try is useless. */
  | { readonly kind: 'refused'; readonly reason: string }

/** The end of the last delivery of an event. */
export interface Death {
  readonly reason: string
  /** Deliveries that were made. */
  readonly attempts: number
}

/** What happens to an event after a delivery. The metrics count `kind`. */
type EventFate =
  | { readonly kind: 'delivered' }
  /** `dueAt`: epoch milliseconds of the next delivery. */
  | { readonly kind: 'retried'; readonly reason: string; readonly dueAt: number }
  | { readonly kind: 'dead'; readonly death: Death }

/** How the delivery of an event is retried, and how often it has failed. */
interface EventTries {
  readonly retry: DeliveryRetry
  readonly failures: number
}

/** Decides whether and when an event is delivered again, or is a dead letter. */
export function decideEventFate(
  end: DeliveryEnd,
  tries: EventTries,
  now: number,
  random: () => number,
): EventFate {
  if (end.kind === 'delivered') return end
  const { reason } = end
  const attempts = tries.failures + 1
  if (end.kind === 'refused' || attempts >= tries.retry.attempts) {
    return { kind: 'dead', death: { reason, attempts } }
  }
  return { kind: 'retried', reason, dueAt: nextTryAt(tries, now, random, end.afterMs) }
}

/** A receiver may ask for a pause with `Retry-After`; it lasts one day at most. */
const MAX_PAUSE_MS = 86_400_000

/**
 * When an event is tried again after a failure, in epoch milliseconds.
 *
 * @param random Gives numbers in [0, 1).
 * @param afterMs The pause that the receiver asks for.
 */
export function nextTryAt(
  { retry, failures }: EventTries,
  now: number,
  random: () => number,
  afterMs = 0,
): number {
  const backoff = backoffMs(retry, failures + 1, random())
  return now + Math.max(1, backoff, Math.min(afterMs, MAX_PAUSE_MS))
}
