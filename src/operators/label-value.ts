import { toVisible } from '../core/visible.ts'

/**
 * Writes the value of a label in Prometheus' text format 0.0.4, without its quotes. Backslash, quote
 * and line feed have escapes there. Other invisible characters become visible text, since a reader
 * may end a line at a carriage return, and accepts only UTF-8.
 */
export function toLabelValue(value: string): string {
  return value
    .split('\n')
    .map(toVisible)
    .join('\n')
    .replaceAll('\\', '\\\\')
    .replaceAll('"', String.raw`\"`)
    .replaceAll('\n', String.raw`\n`)
}
