/**
 * What is not seen, ends a line, turns the text around it or is obeyed by a terminal: controls (C0,
 * C1, DEL), format characters such as bidi marks, line separators, halves of a surrogate pair, and
 * everything that is drawn as nothing at all.
 */
const UNSEEN = /[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]/gu

/** The same, but for tabs and the ends of lines. */
const UNSEEN_IN_LINES = /(?!\t|\r?\n)[\p{C}\p{Default_Ignorable_Code_Point}\p{Zl}\p{Zp}]/gu

/**
 * Writes a text from outside so that it stays one line that reads as it is written: what is not
 * seen is escaped as in JSON (`\u001b`).
 */
export function toVisible(text: string): string {
  return text.replaceAll(UNSEEN, toEscape)
}

/**
 * The same for a text of several lines, which stay. JSON remains the same JSON: outside its strings
 * there is nothing to escape.
 */
export function toVisibleLines(text: string): string {
  return text.replaceAll(UNSEEN_IN_LINES, toEscape)
}

/** As JSON escapes it, each half of a pair by itself. */
export function toEscape(char: string): string {
  const units = Array.from({ length: char.length }, (_, index) => char.charCodeAt(index))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
