/**
 * JSON text of a result.
 *
 * @returns An empty text for nothing, and `null` for what JSON cannot hold.
 */
export function toResultText(result: unknown): string | null {
  if (result === undefined) return ''
  try {
    return JSON.stringify(result) ?? null
  } catch {
    return null
  }
}
