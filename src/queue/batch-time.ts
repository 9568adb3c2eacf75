/** After so many milliseconds the platform ends a consumer, with every handler that it runs. */
export const LONGEST_MS = 900_000

/**
 * How long a batch may take, in milliseconds: by `LONGEST_MS` the platform must have been
 * told of every message.
 */
export const BATCH_MS = 780_000

/**
 * How long one message of a batch may take, in milliseconds, so that every one behind it is begun
 * as well. Those that are quick leave their time to the others.
 *
 * @param leftMs What is left of the batch's time.
 * @param waitingCount Messages that are not begun yet, this one included.
 */
export function shareMs(leftMs: number, waitingCount: number, concurrency: number): number {
  return Math.max(0, leftMs / Math.ceil(waitingCount / concurrency))
}
