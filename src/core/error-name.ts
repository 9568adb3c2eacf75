/**
 * The kind of what was thrown, for logs and messages: its own message may quote what must not stand
 * there.
 */
export function errorName(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
