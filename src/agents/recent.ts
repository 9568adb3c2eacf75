/** Entries that are kept at once. An agent makes far fewer calls in the time of their retries. */
const MAX_ENTRIES = 1_000

/** Sets an entry. Beyond 1,000 entries, the map forgets the one that was set least recently. */
export function setRecent<Value>(entries: Map<string, Value>, key: string, value: Value): void {
  entries.delete(key)
  entries.set(key, value)
  const [oldest] = entries.keys()
  if (entries.size > MAX_ENTRIES && oldest !== undefined) entries.delete(oldest)
}
