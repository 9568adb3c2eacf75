import { toVisible } from '../src/core/visible.ts'
import { morph } from './morph.ts'

/** An element of the page, by its id. @throws {Error} When the page has none of this kind. */
export function element<kind extends HTMLElement>(id: string, kind: new () => kind): kind {
  const found = document.getElementById(id)
  if (!(found instanceof kind)) throw new Error(`The page has no ${id}.`)
  return found
}

/**
 * Makes an element. An attribute without a value is left out.
 *
 * @param children Text for strings: nothing in them can become markup.
 */
export function make<tag extends keyof HTMLElementTagNameMap>(
  tag: tag,
  attributes: Readonly<Record<string, string | undefined>>,
  ...children: readonly (string | Node)[]
): HTMLElementTagNameMap[tag] {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(name, value)
  }
  made.append(...children)
  return made
}

/** Fills a list of terms. */
export function fillTerms(
  list: HTMLElement,
  terms: readonly (readonly [term: string, description: string])[],
): void {
  const wanted = terms.flatMap(([term, description]) => [
    make('dt', {}, term),
    make('dd', {}, named(description)),
  ])
  morph(list, wanted)
}

/** Says something below a heading, or nothing. */
export function say(id: string, text: string): void {
  const hint = element(id, HTMLParagraphElement)
  const shown = toVisible(text)
  if (hint.textContent !== shown) hint.textContent = shown
  hint.hidden = text === ''
}

/**
 * A text from outside: no character in it has an effect on the text around it. A very long one is cut
 * for the eye, with the whole text in the tooltip.
 */
export function named(text: string): HTMLElement {
  const shown = toVisible(text)
  const visible = cut(shown)
  return make('bdi', { title: visible === shown ? undefined : shown }, visible)
}

/** The length of both ends of a cut text, which tell names apart. */
const HEAD = 160
const TAIL = 40

/** The same as text, for an option or a message. */
export function cut(text: string): string {
  const shown = toVisible(text)
  if (shown.length <= HEAD + TAIL) return shown
  return `${shown.slice(0, HEAD)}…${shown.slice(-TAIL)}`
}
