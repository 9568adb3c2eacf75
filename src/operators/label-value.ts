import { toVisible } from '../core/visible.ts'

/**
 * Writes the value of a label as Prometheus' text format 0.0.4 has it, without its quotes. Backslash,
 * quote and line feed have escapes there; whatever else is not seen stands as visible text, since a
 * reader may end a line at a carriage return, and takes nothing that is no UTF-8.
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
