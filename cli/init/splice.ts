/** A replacement of a part of a text. An insertion has `from` equal to `to`. */
export interface Splice {
  readonly from: number
  readonly to: number
  readonly text: string
}

/** Applies replacements that do not overlap. Insertions at one place keep their order. */
export function splice(text: string, splices: readonly Splice[]): string {
  const inOrder = splices.toSorted((a, b) => a.from - b.from)
  return inOrder.reduceRight(
    (written, each) => written.slice(0, each.from) + each.text + written.slice(each.to),
    text,
  )
}

/** Inserts a text. */
export function insert(at: number, text: string): Splice {
  return { from: at, to: at, text }
}

/** Returns where the line of an offset ends, before its line break. */
export function endOfLine(text: string, at: number): number {
  const found = text.slice(at).search(/\r?\n/)
  return found === -1 ? text.length : at + found
}

/** Returns where the line of an offset begins. */
export function startOfLine(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1
}

/** Returns the line break that a text uses. */
export function lineBreakOf(text: string): '\n' | '\r\n' {
  return /\r\n/.test(text) ? '\r\n' : '\n'
}
