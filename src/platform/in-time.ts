/**
 * Waits for another part of the platform, but not longer than `limitMs`.
 *
 * @throws {DOMException} `TimeoutError` when the time is over. The work may still be done.
 */
export async function inTime<result>(work: Promise<result>, limitMs: number): Promise<result> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(tooLate()), limitMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

const tooLate = () => new DOMException('There was no answer in time.', 'TimeoutError')

/** Waits for a promise, but not longer than `waitMs`. @returns `null` when the time ran out first. */
export async function within<value>(
  promise: Promise<value>,
  waitMs: number,
): Promise<value | null> {
  if (waitMs <= 0) return null
  const timeUp = Promise.withResolvers<null>()
  const timer = setTimeout(() => timeUp.resolve(null), waitMs)
  try {
    return await Promise.race([promise, timeUp.promise])
  } finally {
    clearTimeout(timer)
  }
}
