import { toVisibleLines } from '../src/core/visible.ts'
import { isJson } from './text-file.ts'

/** Writes to standard output. Escapes characters that a terminal would interpret. */
export function print(text: string): void {
  process.stdout.write(toVisibleLines(text))
}

/** Does the same on standard error. */
export function printError(text: string): void {
  process.stderr.write(toVisibleLines(text))
}

/**
 * Writes a document. YAML is written unchanged to a program or a file, because escapes would change
 * its meaning. In JSON they do not.
 */
export function printDocument(text: string): void {
  if (process.stdout.isTTY || isJson(text)) print(text)
  else process.stdout.write(text)
}
