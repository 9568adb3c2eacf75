/**
 * How long a batch may take, in milliseconds: the platform ends a consumer after 15 minutes, and
 * by then it must have been told of every message.
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
