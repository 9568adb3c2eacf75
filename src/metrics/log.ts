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

/** Writes the log line of a change by an operator. */
export function logAudit(facts: Readonly<Record<string, string | null>>): void {
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.log(toLine({ message: 'audit', ...facts }))
}

/** One line of JSON, with control characters escaped. */
const toLine = (entry: object) => toVisible(JSON.stringify(entry))
