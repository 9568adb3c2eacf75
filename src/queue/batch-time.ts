/** The platform ends a consumer, and every handler that it runs, after this many milliseconds. */
export const LONGEST_MS = 900_000

/**
 * How long a batch may take, in milliseconds: it must acknowledge or retry every message before
 * `LONGEST_MS`.
 */
export const BATCH_MS = 780_000

/**
 * How long one message of a batch may take, in milliseconds, so that every message behind it begins
 * as well. Time that a message does not use goes to the others.
 *
 * @param leftMs What is left of the batch's time.
 * @param waitingCount Messages that are not begun yet, this one included.
 */
export function shareMs(leftMs: number, waitingCount: number, concurrency: number): number {
  return Math.max(0, leftMs / Math.ceil(waitingCount / concurrency))
}
