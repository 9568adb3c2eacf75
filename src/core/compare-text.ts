/** Orders texts by their UTF-16 code units (RFC 8785 §3.2.3), whatever the language. */
export function compareText(one: string, other: string): -1 | 0 | 1 {
  if (one === other) return 0
  return one < other ? -1 : 1
}
