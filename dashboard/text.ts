import { toVisible } from '../src/core/visible.ts'

/** Letters that are shown of a text; between its ends, which tell names apart, the rest is left out. */
const HEAD = 160
const TAIL = 40

/**
 * A text from outside: nothing in it is obeyed, none of it turns the text around it, and a very long
 * one is cut for the eye, with the whole of it in the tooltip.
 */
export function named(text: string): HTMLElement {
  const place = document.createElement('bdi')
  const shown = toVisible(text)
  place.textContent = cut(shown)
  if (place.textContent !== shown) place.title = shown
  return place
}

/** The same where only text can stand, as in an option. */
export function cut(text: string): string {
  const shown = toVisible(text)
  if (shown.length <= HEAD + TAIL) return shown
  return `${shown.slice(0, HEAD)}…${shown.slice(-TAIL)}`
}
