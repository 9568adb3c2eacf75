/** Keys that are counted at once. An agent makes far fewer calls in the time of their retries. */
const MAX_KEYS = 1_000

/** Creates a counter of the calls of each key. Beyond 1,000 keys, it forgets the one that was called least recently. */
export function createAttemptCounter(): (key: string) => number {
  const counts = new Map<string, number>()
  return (key) => {
    const attempt = (counts.get(key) ?? 0) + 1
    counts.delete(key)
    counts.set(key, attempt)
    const [oldest] = counts.keys()
    if (counts.size > MAX_KEYS && oldest !== undefined) counts.delete(oldest)
    return attempt
  }
}
