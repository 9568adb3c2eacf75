/** The platform ends a consumer, and every handler that it runs, after this many milliseconds. */
export const LONGEST_MS = 900_000

/**
 * How long a batch may take, in milliseconds: it must acknowledge or retry every message before
 * `LONGEST_MS`.
 */
export const BATCH_MS = 780_000

/**
 * How long one message of a batch may take, in milliseconds, so that every later message is started
 * too. Time that a message does not use is shared by the later ones.
 *
 * @param leftMs Time left for the batch.
 * @param waitingCount Messages that are not started yet, including this one.
 */
export function shareMs(leftMs: number, waitingCount: number, concurrency: number): number {
  return Math.max(0, leftMs / Math.ceil(waitingCount / concurrency))
}
