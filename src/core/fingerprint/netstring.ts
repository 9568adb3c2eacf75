/**
 * Writes a text behind its length, so that texts written one after another keep their borders,
 * whatever they hold.
 */
export const toNetstring = (text: string): string => `${text.length}:${text}`
