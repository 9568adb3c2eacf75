/** Writes a result as text for a model, with a note behind it. */
export function toNotedText(result: unknown, note: string): string {
  return [toText(result), note].filter((part) => part !== '').join('\n\n')
}

function toText(result: unknown): string {
  if (typeof result === 'string') return result
  try {
    return JSON.stringify(result) ?? ''
  } catch {
    // It holds itself or a BigInt. The work is done, so this is no time to fail.
    return String(result)
  }
}

/** The part of a message that holds a note. */
export const toTextPart = (text: string) => ({ type: 'text', text }) as const
