import { toVisibleLines } from '../src/core/visible.ts'
import { isJson } from './text-file.ts'

/** Writes to standard output; nothing in it is raw that a terminal would obey. */
export function print(text: string): void {
  process.stdout.write(toVisibleLines(text))
}

/** The same on standard error. */
export function printError(text: string): void {
  process.stderr.write(toVisibleLines(text))
}

/**
 * Writes a document: as it is where a program or a file gets it, since YAML would not be the same
 * with other letters in it. JSON is.
 */
export function printDocument(text: string): void {
  if (process.stdout.isTTY || isJson(text)) print(text)
  else process.stdout.write(text)
}
