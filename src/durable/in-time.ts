/**
 * Waits for another part of the platform only so long: what never answers must not hold up what
 * stands behind it.
 *
 * @throws {Error} When the time is over; what was asked for may still be done.
 */
export async function inTime<result>(work: Promise<result>, limitMs: number): Promise<result> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('There was no answer in time.')), limitMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
