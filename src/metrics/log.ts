import { errorName } from '../core/error-name.ts'
import type { RequestFacts } from '../core/request-facts.ts'
import { toVisible } from '../core/visible.ts'

/** Writes the log line of a request. Facts contain no key, body or credential. */
export function logRequest(facts: RequestFacts): void {
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.log(toLine({ message: 'request', ...facts }))
}

/** Writes the log line of a fault. */
export function logFault(message: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.error(toLine({ message, reason }))
}

/**
 * Writes the log line of an error that the code of the deployment has thrown: its name only, because
 * its message may hold what must not be logged.
 *
 * @param isShown Whether its message, stack and causes follow, on lines of their own.
 */
export function logThrown(message: string, error: unknown, facts: object, isShown: boolean): void {
  const line = toLine({ message, reason: errorName(error), ...facts })
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.error(isShown ? [line, ...linesOf(error)].join('\n') : line)
}

/** As many causes as are written, for an error that is among its own causes. */
const MAX_CAUSES = 8

/** Message and stack of an error and its causes. Indented, so that no line can be taken for another entry. */
function linesOf(error: unknown, depth = 0): readonly string[] {
  const lines = textOf(error)
    .split('\n')
    .map((line) => `  ${toVisible(line)}`)
  const cause = error instanceof Error ? error.cause : undefined
  if (cause === undefined || depth === MAX_CAUSES) return lines
  return [...lines, '  Caused by:', ...linesOf(cause, depth + 1)]
}

/** What was thrown can be anything, even an object that has no text. */
function textOf(error: unknown): string {
  try {
    return String(error instanceof Error ? (error.stack ?? error) : error)
  } catch {
    return errorName(error)
  }
}

/** Writes the log line of a change by an operator. */
export function logAudit(facts: Readonly<Record<string, string | null>>): void {
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.log(toLine({ message: 'audit', ...facts }))
}

/** One line of JSON, with control characters escaped. */
const toLine = (entry: object) => toVisible(JSON.stringify(entry))
