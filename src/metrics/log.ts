import type { RequestFacts } from '../core/request-facts.ts'
import { toVisible } from '../core/visible.ts'

/** Writes the one structured line of a request. Facts hold no key, no body and no credential. */
export function logRequest(facts: RequestFacts): void {
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.log(toLine({ message: 'request', ...facts }))
}

/** Writes the line of a fault of the store or of a binding. */
export function logFault(message: string, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error)
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.error(toLine({ message, reason }))
}

/** Writes who has changed what. */
export function logAudit(facts: Readonly<Record<string, string | null>>): void {
  // oxlint-disable-next-line no-console -- this is the one place that writes log lines
  console.log(toLine({ message: 'audit', ...facts }))
}

/** One line of JSON, in which nothing is raw that a reader of lines or a terminal would obey. */
const toLine = (entry: object) => toVisible(JSON.stringify(entry))
