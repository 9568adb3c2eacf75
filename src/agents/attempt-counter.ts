import { setRecent } from './recent.ts'

/** Creates a counter of the calls of each key. Beyond 1,000 keys, it forgets the one that was called least recently. */
export function createAttemptCounter(): (key: string) => number {
  const counts = new Map<string, number>()
  return (key) => {
    const attempt = (counts.get(key) ?? 0) + 1
    setRecent(counts, key, attempt)
    return attempt
  }
}
